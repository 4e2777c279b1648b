import * as tf from '@tensorflow/tfjs-core';
import { WasmCall } from './wasm-call.ts';

const BACKEND = 'wasm';

/**
 * Replaces the WebAssembly backend's matrix product where it is slow. XNNPACK, at 20 to 30 GFLOP/s, serves only two
 * untransposed matrices; everything else falls to a scalar loop of 2 GFLOP/s. Transposed matrices are turned round
 * first, and batches of matrices take the project's own vector loop.
 */
export function registerMatMul(): void {
  const original = tf.getKernel(tf.BatchMatMul, BACKEND);
  tf.unregisterKernel(tf.BatchMatMul, BACKEND);
  tf.registerKernel({
    ...original,
    kernelFunc: (config) => {
      const call = new WasmCall(tf.BatchMatMul, config);
      const a = call.input('a');
      const b = call.input('b');
      const attrs = config.attrs as { readonly transposeA?: boolean; readonly transposeB?: boolean };
      const transposeA = attrs.transposeA === true;
      const transposeB = attrs.transposeB === true;
      const multiply = (left: tf.TensorInfo, right: tf.TensorInfo) =>
        original.kernelFunc({
          inputs: { a: left, b: right },
          backend: call.backend,
          attrs: { transposeA: false, transposeB: false },
        });
      if (a.shape.length === 2 && b.shape.length === 2) {
        const left = transposeA ? transposed(call, a) : a;
        const right = transposeB ? transposed(call, b) : b;
        const product = multiply(left, right);
        call.free(...[left, right].filter((info) => info !== a && info !== b));
        return product;
      }
      const isSameBatch = a.shape.slice(0, -2).join() === b.shape.slice(0, -2).join();
      return isSameBatch ? multiplyBatch(call, a, b, transposeA, transposeB) : original.kernelFunc(config);
    },
  });
}

/** [R, C] → [C, R] */
function transposed(call: WasmCall, x: tf.TensorInfo): tf.TensorInfo {
  const [numRows, numColumns] = lastTwo(x);
  const y = call.allocate([numColumns, numRows]);
  transposeInto(call, call.address(x), call.address(y), numRows, numColumns);
  return y;
}

function transposeInto(call: WasmCall, x: number, y: number, numRows: number, numColumns: number): void {
  call.simd.transpose(x, 4 * numColumns, y, 4 * numRows, numRows, numColumns);
}

/** Products of matrices of the same leading dimensions. */
function multiplyBatch(
  call: WasmCall,
  a: tf.TensorInfo,
  b: tf.TensorInfo,
  transposeA: boolean,
  transposeB: boolean,
): tf.TensorInfo {
  const [aRows, aColumns] = lastTwo(a);
  const [bRows, bColumns] = lastTwo(b);
  const [numRows, innerSize] = transposeA ? [aColumns, aRows] : [aRows, aColumns];
  const numColumns = transposeB ? bRows : bColumns;
  if (innerSize !== (transposeB ? bColumns : bRows)) {
    throw new RangeError(`matrix product of [${a.shape.join(', ')}] and [${b.shape.join(', ')}]`);
  }
  const leading = a.shape.slice(0, -2);
  const product = call.allocate([...leading, numRows, numColumns]);
  const turned = call.allocate([innerSize, numColumns]);
  const [aStep, aInnerStep] = transposeA ? [4, 4 * aColumns] : [4 * aColumns, 4];
  for (let i = 0; i < tf.util.sizeFromShape(leading); i += 1) {
    let right = call.address(b) + 4 * i * bRows * bColumns;
    if (transposeB) {
      transposeInto(call, right, call.address(turned), bRows, bColumns);
      right = call.address(turned);
    }
    call.simd.multiply(
      ...[call.address(a) + 4 * i * aRows * aColumns, aStep, aInnerStep],
      ...[right, 4 * numColumns],
      ...[call.address(product) + 4 * i * numRows * numColumns, 4 * numColumns],
      ...[numRows, numColumns, innerSize],
    );
  }
  call.free(turned);
  return product;
}

function lastTwo({ shape }: tf.TensorInfo): [number, number] {
  return [shape.at(-2) ?? 1, shape.at(-1) ?? 1];
}
