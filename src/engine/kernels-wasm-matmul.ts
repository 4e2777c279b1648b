import * as tf from '@tensorflow/tfjs-core';
import { WasmCall } from './wasm-call.ts';
import { type HeapMatrix, product } from './wasm-matrix.ts';

const BACKEND = 'wasm';

/**
 * Replaces the WebAssembly backend's matrix product. tfjs hands only two untransposed matrices to XNNPACK and leaves the
 * rest to a scalar loop of 2 GFLOP/s; the packed product of wasm-matrix.ts takes operands either way round, a little
 * faster than XNNPACK does untransposed ones (2048 × 512 × 2048 on one core: 36 against 28 GFLOP/s).
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
      const attrs = config.attrs as Transposition;
      if (a.dtype !== 'float32' || b.dtype !== 'float32') return original.kernelFunc(config);
      if (a.shape.length === 2 && b.shape.length === 2) return multiplyTwo(call, a, b, attrs);
      const isSameBatch = a.shape.slice(0, -2).join() === b.shape.slice(0, -2).join();
      return isSameBatch ? multiplyBatch(call, a, b, attrs) : original.kernelFunc(config);
    },
  });
}

/**
 * Replaces the WebAssembly backend's dense layer in the same way, where it has no activation and only one matrix on each
 * side.
 */
export function registerFusedMatMul(): void {
  const original = tf.getKernel(tf._FusedMatMul, BACKEND);
  tf.unregisterKernel(tf._FusedMatMul, BACKEND);
  tf.registerKernel({
    ...original,
    kernelFunc: (config) => {
      const call = new WasmCall(tf._FusedMatMul, config);
      const a = call.input('a');
      const b = call.input('b');
      const bias = call.optionalInput('bias');
      const attrs = config.attrs as Transposition & { readonly activation?: string };
      const isPlain = attrs.activation === undefined || attrs.activation === 'linear';
      const isSingle = [...a.shape.slice(0, -2), ...b.shape.slice(0, -2)].every((size) => size === 1);
      if (!isPlain || !isSingle || bias?.shape.length !== 1) return original.kernelFunc(config);
      const product = multiplyTwo(call, a, b, attrs, bias);
      const leading = a.shape.length >= b.shape.length ? a.shape.slice(0, -2) : b.shape.slice(0, -2);
      return { ...product, shape: [...leading, ...product.shape] };
    },
  });
}

interface Transposition {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

/** A·B, or A·B + bias in every row. */
function multiplyTwo(
  call: WasmCall,
  a: tf.TensorInfo,
  b: tf.TensorInfo,
  { transposeA = false, transposeB = false }: Transposition,
  bias?: tf.TensorInfo,
): tf.TensorInfo {
  const operand = (info: tf.TensorInfo, isTransposed: boolean): HeapMatrix => {
    const [rows, columns] = lastTwo(info);
    const [numRows, numColumns] = isTransposed ? [columns, rows] : [rows, columns];
    return { address: call.address(info), numRows, numColumns, isTransposed };
  };
  const [left, right] = [operand(a, transposeA), operand(b, transposeB)];
  if (left.numColumns !== right.numRows) {
    throw new RangeError(`matrix product of [${a.shape.join(', ')}] and [${b.shape.join(', ')}]`);
  }
  const result = call.allocate([left.numRows, right.numColumns]);
  product(call, left, right, call.address(result), bias === undefined ? undefined : call.address(bias));
  return result;
}

function transposeInto(call: WasmCall, x: number, y: number, numRows: number, numColumns: number): void {
  call.simd.transpose(x, 4 * numColumns, y, 4 * numRows, numRows, numColumns);
}

/** Products of matrices of the same leading dimensions. */
function multiplyBatch(
  call: WasmCall,
  a: tf.TensorInfo,
  b: tf.TensorInfo,
  { transposeA = false, transposeB = false }: Transposition,
): tf.TensorInfo {
  const [aRows, aColumns] = lastTwo(a);
  const [bRows, bColumns] = lastTwo(b);
  const [numRows, innerSize] = transposeA ? [aColumns, aRows] : [aRows, aColumns];
  const numColumns = transposeB ? bRows : bColumns;
  if (innerSize !== (transposeB ? bColumns : bRows)) {
    throw new RangeError(`matrix product of [${a.shape.join(', ')}] and [${b.shape.join(', ')}]`);
  }
  const leading = a.shape.slice(0, -2);
  const product = call.zeros([...leading, numRows, numColumns]);
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
