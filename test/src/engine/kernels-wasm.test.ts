import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../../pipeline/index.ts';
import { openBackend } from '../../../src/engine/backend.ts';
import { signed, unsigned } from '../../../pipeline/wasm/assembler.ts';
import { gelu } from '../../../src/ops/gelu.ts';
import { KERNELS, runKernel, runKernelOnce } from '../../../src/ops/kernel.ts';

const random = new Random(5);
const values = (...shape: number[]) =>
  Float32Array.from({ length: shape.reduce((product, size) => product * size, 1) }, () => random.normal());

/** Product in double precision. */
function product(a: Float32Array, b: Float32Array, rows: number, inner: number, columns: number): number[] {
  return Array.from({ length: rows * columns }, (_, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    let sum = 0;
    for (let k = 0; k < inner; k += 1) sum += a[row * inner + k]! * b[k * columns + column]!;
    return sum;
  });
}

function transposed(x: Float32Array, rows: number, columns: number): Float32Array {
  return x.map((_, i) => x[(i % rows) * columns + Math.floor(i / rows)]!);
}

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i += 1) {
    const allowed = tolerance * (1 + Math.abs(expected[i]!));
    if (!(Math.abs(actual[i]! - expected[i]!) <= allowed)) {
      expect.fail(`element ${i} is ${actual[i]!}, expected ${expected[i]!}`);
    }
  }
}

describe('vector kernels of the WebAssembly backend', () => {
  beforeAll(async () => {
    await openBackend('wasm');
  });

  describe.each([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ])('matrix product, transposed %s and %s', (transposeA, transposeB) => {
    // Below, at and beyond tiles (4 × 8), blocks (256 rows, 256 inner) and vectors.
    it.each([
      [3, 0, 5],
      [1, 1, 1],
      [3, 5, 7],
      [4, 256, 8],
      [5, 257, 9],
      [257, 3, 12],
      [261, 300, 19],
      [8, 600, 16],
    ])('of %i × %i × %i', (rows, inner, columns) => {
      tf.tidy(() => {
        const [a, b] = [values(rows, inner), values(inner, columns)];
        const left = transposeA
          ? tf.tensor2d(transposed(a, rows, inner), [inner, rows])
          : tf.tensor2d(a, [rows, inner]);
        const right = transposeB
          ? tf.tensor2d(transposed(b, inner, columns), [columns, inner])
          : tf.tensor2d(b, [inner, columns]);
        const actual = tf.matMul(left, right, transposeA, transposeB);
        expect(actual.shape).toEqual([rows, columns]);
        expectClose(actual.dataSync(), product(a, b, rows, inner, columns), 3e-5);

        const bias = values(columns);
        const shifted = tf.fused.matMul({
          a: left,
          b: right,
          transposeA,
          transposeB,
          bias: tf.tensor1d(bias),
        });
        const expected = product(a, b, rows, inner, columns).map((value, i) => value + bias[i % columns]!);
        expectClose(shifted.dataSync(), expected, 3e-5);
      });
    });

    it('of batches', () => {
      tf.tidy(() => {
        const [batch, rows, inner, columns] = [6, 5, 9, 11];
        const pairs = Array.from(
          { length: batch },
          () => [values(rows, inner), values(inner, columns)] as const,
        );
        const lefts = pairs.flatMap(([a]) => [...(transposeA ? transposed(a, rows, inner) : a)]);
        const rights = pairs.flatMap(([, b]) => [...(transposeB ? transposed(b, inner, columns) : b)]);
        const actual = tf.matMul(
          tf.tensor4d(lefts, transposeA ? [2, 3, inner, rows] : [2, 3, rows, inner]),
          tf.tensor4d(rights, transposeB ? [2, 3, columns, inner] : [2, 3, inner, columns]),
          transposeA,
          transposeB,
        );
        expect(actual.shape).toEqual([2, 3, rows, columns]);
        expectClose(
          actual.dataSync(),
          pairs.flatMap(([a, b]) => product(a, b, rows, inner, columns)),
          1e-5,
        );
      });
    });
  });

  it('computes GELU as well as float32 can', () => {
    tf.tidy(() => {
      const points = Float32Array.from({ length: 4001 }, (_, i) => (i - 2000) / 200);
      const expected = points.map((x) => 0.5 * x * (1 + errorFunction(x * Math.SQRT1_2)));
      expectClose(gelu(tf.tensor1d(points)).dataSync(), expected, 2e-6);
    });
  });

  it.each([0, 3, 6])('computes cross-entropy, and lets a NaN in column %i reach its row alone', (column) => {
    tf.tidy(() => {
      // Beyond both ends of the range in which the exponential is computed.
      const scores = [80, -90, 0.5, 79, 1e30, -1e30, 78.5];
      const rows = [
        scores.map((score) => score / 40),
        scores.map((score, i) => (i === column ? NaN : score)),
      ];
      rows.push([0, -86, -87, -88, -89, -200, 0]);
      const { losses, gradients } = crossEntropy([...rows, scores], [1, 2, 3, 3]);
      for (const row of [0, 2, 3]) {
        const expected = exactCrossEntropy(row === 3 ? scores : rows[row]!, [1, 2, 3, 3][row]!);
        expect(losses[row]! / expected.loss).toBeCloseTo(1, 6);
        expectClose(gradients[row]!, expected.gradient, 1e-6);
      }
      expect(gradients[2]![5]).toBe(0);
      expect(losses[1]).toBeNaN();
      expect(gradients[1]!.some(Number.isNaN)).toBe(true);
    });
  });

  describe('the contrast of anchors', () => {
    // Below, at and beyond four rows at a time, and vectors of 4 and 16 columns.
    it.each([
      [3, 1, 1],
      [9, 3, 4],
      [9, 6, 16],
      [20, 8, 23],
      [20, 13, 37],
    ])('among %i rows with %i negatives of %i columns', (numRows, numNegatives, size) => {
      const unit = values(numRows, size);
      const draw = (count: number) => Array.from({ length: count }, () => random.below(numRows));
      const pairs = { anchors: draw(7), positives: draw(7), negatives: draw(7 * numNegatives) };
      const temperature = 0.7;
      tf.tidy(() => {
        const [losses, hits, toUnit] = contrast(unit, pairs, numRows, temperature);
        const row = (index: number) => unit.subarray(index * size, (index + 1) * size);
        for (const [i, anchor] of pairs.anchors.entries()) {
          const drawn = pairs.negatives.slice(i * numNegatives, (i + 1) * numNegatives);
          const rows = [...drawn, pairs.positives[i]!].map(row);
          const scores = rows.map((other) => dot(row(anchor), other) / temperature);
          const { loss, gradient } = exactCrossEntropy(scores, numNegatives);
          expectClose([losses![i]!], [loss], 1e-5);
          const isTied = drawn.includes(pairs.positives[i]!);
          const isNearest = !isTied && Math.max(...scores) === scores.at(-1);
          expect(hits![i]).toBe(isNearest ? 1 : 0);
          const expected = Float32Array.from({ length: size }, (_, column) =>
            dot(
              gradient,
              Float32Array.from(rows, (other) => other[column]!),
            ),
          );
          expectClose(toUnit!.slice(i * size, (i + 1) * size), expected, 1e-5);
        }
      });
    });

    it('refuses rows that do not exist', () => {
      const right = { anchors: [0], positives: [1], negatives: [2, 0] };
      for (const wrong of [{ anchors: [3] }, { positives: [-1] }, { negatives: [0, 3] }]) {
        tf.tidy(() => {
          expect(() => contrast(values(3, 4), { ...right, ...wrong }, 3, 1)).toThrow(/outside the 3 rows/);
        });
      }
    });
  });

  it('adds squares up in double precision', () => {
    tf.tidy(() => {
      const size = 3_000_001;
      const sum = runKernelOnce(KERNELS.sumOfSquares, { x: tf.fill([size], 0.1) }).dataSync()[0]!;
      expect(sum / (size * Math.fround(0.1) ** 2)).toBeCloseTo(1, 6);
    });
  });

  it('adds segments up and leaves negative ones out', () => {
    tf.tidy(() => {
      const x = tf.tensor2d([
        [1, 2],
        [3, 4],
        [5, 6],
        [7, 8],
      ]);
      const sums = tf.unsortedSegmentSum(x, tf.tensor1d([2, 0, 2, -1], 'int32'), 4);
      expect([...sums.dataSync()]).toEqual([3, 4, 0, 0, 6, 8, 0, 0]);
      expect(() => tf.unsortedSegmentSum(x, tf.tensor1d([0, 0, 0, 9], 'int32'), 4)).toThrow(/segment 9/);
    });
  });

  it('updates parameters where they lie, and leaves clones of them alone', () => {
    tf.tidy(() => {
      const ones = () => tf.ones([5]);
      const firstMoment = tf.fill([5], 3);
      const inputs = { parameter: ones(), gradient: ones(), firstMoment, secondMoment: ones() };
      const scalars = { stepSize: tf.scalar(0.5), epsilon: tf.scalar(0), keep: tf.scalar(1) };
      const scales = { gradientScale: tf.scalar(1), scale1: tf.scalar(0.5), scale2: tf.scalar(0.5) };
      const clone = tf.clone(firstMoment);
      const { numDataBuffers } = tf.memory();
      const attributes = { beta1: 0.5, beta2: 0.5 };
      const updated = runKernel(KERNELS.adamW, { ...inputs, ...scalars, ...scales }, attributes);
      expect(updated.map((tensor) => tensor.dataSync()[4])).toEqual([0, 2, 1]);
      expect(clone.dataSync()[4]).toBe(3);
      expect(tf.memory().numDataBuffers).toBe(numDataBuffers + 1);
    });
  });

  it('shares the data of a clone and frees it with the last one', () => {
    const original = tf.tensor1d([1, 2, 3]);
    const clone = tf.clone(original);
    original.dispose();
    expect([...clone.dataSync()]).toEqual([1, 2, 3]);
    const { numDataBuffers } = tf.memory();
    clone.dispose();
    expect(tf.memory().numDataBuffers).toBe(numDataBuffers - 1);
  });
});

describe('LEB128', () => {
  it.each([
    [0, [0]],
    [127, [0x7f]],
    [128, [0x80, 1]],
    [624_485, [0xe5, 0x8e, 0x26]],
  ])('of %i unsigned', (value, bytes) => {
    expect(unsigned(value)).toEqual(bytes);
  });
  it.each([
    [0, [0]],
    [63, [0x3f]],
    [64, [0xc0, 0]],
    [-1, [0x7f]],
    [-123_456, [0xc0, 0xbb, 0x78]],
  ])('of %i signed', (value, bytes) => {
    expect(signed(value)).toEqual(bytes);
  });
});

function crossEntropy(rows: readonly number[][], labels: readonly number[]) {
  const inputs = { logits: tf.tensor2d([...rows]), labels: tf.tensor1d([...labels], 'int32') };
  const [losses, , gradient] = runKernel(KERNELS.crossEntropy, inputs);
  const width = rows[0]!.length;
  const values = gradient!.dataSync();
  return {
    losses: [...losses!.dataSync()],
    gradients: rows.map((_, row) => [...values.slice(row * width, (row + 1) * width)]),
  };
}

interface Pairs {
  readonly anchors: number[];
  readonly positives: number[];
  readonly negatives: number[];
}

function contrast(unit: Float32Array, pairs: Pairs, numRows: number, temperature: number) {
  const { anchors, positives, negatives } = pairs;
  const inputs = {
    unit: tf.tensor2d(unit, [numRows, unit.length / numRows]),
    anchors: tf.tensor1d(anchors, 'int32'),
    positives: tf.tensor1d(positives, 'int32'),
    negatives: tf.tensor2d(negatives, [anchors.length, negatives.length / anchors.length], 'int32'),
  };
  const outputs = runKernel(KERNELS.contrast, inputs, { inverseTemperature: 1 / temperature });
  return outputs.map((output) => output.dataSync<'float32'>());
}

function dot(a: ArrayLike<number>, b: Float32Array): number {
  return b.reduce((sum, value, i) => sum + value * a[i]!, 0);
}

/** In double precision. */
function exactCrossEntropy(row: readonly number[], label: number): { loss: number; gradient: number[] } {
  const scores = row.map(Math.fround);
  const highest = Math.max(...scores);
  const exponentials = scores.map((score) => Math.exp(score - highest));
  const total = exponentials.reduce((sum, value) => sum + value, 0);
  return {
    loss: Math.log(total) + highest - scores[label]!,
    gradient: exponentials.map((value, i) => value / total - (i === label ? 1 : 0)),
  };
}

/** erf by its series, and by the continued fraction of erfc where the series cancels (Abramowitz, Stegun 7.1.5, 7.1.14). */
function errorFunction(x: number): number {
  const size = Math.abs(x);
  if (size < 3) {
    let term = size;
    let sum = size;
    for (let n = 1; n < 80; n += 1) {
      term *= -(size * size) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 60; n >= 1; n -= 1) fraction = n / 2 / (size + fraction);
  return Math.sign(x) * (1 - Math.exp(-size * size) / Math.sqrt(Math.PI) / (size + fraction));
}
