import * as tf from '@tensorflow/tfjs-core';
import { createProgram } from './backend.ts';
import type { Precision } from './precision.ts';

/** A call multiplies so many times in a row, so that what surrounds the products hardly counts. */
const NUM_PRODUCTS = 4;
const FIRST_SIZE = 512;
const LAST_SIZE = 4096;
/** Matrices grow until a call takes so long; smaller ones do not fill a fast device. */
const LONG_CALL_MS = 50;
const MEASURE_MS = 500;

/**
 * The rate at which this process multiplies large square matrices on the backend in use: what a training step would
 * reach if it did nothing else. The best of the calls of about half a second.
 * @param now clock in milliseconds
 * @returns floating-point operations a second
 * @throws TacoError as `createProgram` does
 */
export function measureMatrixPeak(
  precision: Precision = 'f32',
  now: () => number = () => performance.now(),
): number {
  const stopAt = now() + MEASURE_MS;
  let best = 0;
  for (let size = FIRST_SIZE, isLong = false; size <= LAST_SIZE && !isLong; size *= 2) {
    const { multiply, dispose } = productsOf(size, precision);
    try {
      multiply();
      do {
        const startedAt = now();
        multiply();
        const ms = now() - startedAt;
        best = Math.max(best, (1000 * NUM_PRODUCTS * 2 * size ** 3) / ms);
        isLong = ms >= LONG_CALL_MS;
      } while ((isLong || size === LAST_SIZE) && now() < stopAt);
    } finally {
      dispose();
    }
  }
  return best;
}

/** A·A·…·B of square matrices on the backend in use. */
function productsOf(size: number, precision: Precision) {
  const program = createProgram(precision);
  const names = ['left', 'right'];
  program.declare(names.map((name) => ({ name, shape: [size, size] })));
  program.write(names, () => valuesOf(size));
  const run = program.compile(
    ({ variables }) => {
      const left = variables.get('left') as tf.Tensor as tf.Tensor2D;
      let product = variables.get('right') as tf.Tensor as tf.Tensor2D;
      for (let count = 0; count < NUM_PRODUCTS; count += 1) product = tf.matMul(left, product);
      return { corner: tf.slice(product, [0, 0], [1, 1]) };
    },
    { name: 'products', feeds: {}, updates: [] },
  );
  return {
    multiply: () => run({}),
    dispose: () => {
      program.dispose();
    },
  };
}

/** Numbers that keep their size from product to product, and no two rows alike. */
function valuesOf(size: number): Float32Array {
  const scale = 1 / Math.sqrt(size);
  return Float32Array.from({ length: size * size }, (_, i) =>
    (Math.imul(i, 0x9e3779b1) & 0x10000) === 0 ? scale : -scale,
  );
}
