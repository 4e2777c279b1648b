import { type TensorInfo, util } from '@tensorflow/tfjs-core';
import type { WasmCall } from './wasm-call.ts';

/** `{x: [N, H], gain, bias}`, `{epsilon}` → y, normalised, rstd */
export function layerNorm(call: WasmCall): TensorInfo[] {
  const x = call.input('x');
  const [numRows, numColumns] = matrixShape(x);
  const outputs = [call.allocate(x.shape), call.allocate(x.shape), call.allocate([numRows, 1])];
  call.simd.layerNorm(
    ...[x, call.input('gain'), call.input('bias'), ...outputs].map((info) => call.address(info)),
    ...[numRows, numColumns, call.number('epsilon')],
  );
  return outputs;
}

/** `{dy: [N, H], normalised, rstd, gain}` → dx, dGain, dBias */
export function layerNormGradient(call: WasmCall): TensorInfo[] {
  const dy = call.input('dy');
  const [numRows, numColumns] = matrixShape(dy);
  const outputs = [call.allocate(dy.shape), call.zeros([numColumns]), call.zeros([numColumns])];
  const inputs = ['dy', 'normalised', 'rstd', 'gain'].map((name) => call.input(name));
  call.simd.layerNormGradient(
    ...[...inputs, ...outputs].map((info) => call.address(info)),
    ...[numRows, numColumns],
  );
  return outputs;
}

/** `{x: [N, H]}` → [H] */
export function columnSums(call: WasmCall): TensorInfo {
  const x = call.input('x');
  const [numRows, numColumns] = matrixShape(x);
  const sums = call.zeros([numColumns]);
  call.simd.columnSums(call.address(x), call.address(sums), numRows, numColumns);
  return sums;
}

/** `{logits: [M, V], labels: int32 [M]}` → losses, hits, dLogits */
export function crossEntropy(call: WasmCall): TensorInfo[] {
  const logits = call.input('logits');
  const [numRows, numWords] = matrixShape(logits);
  const [losses, hits, dLogits] = [
    call.allocate([numRows]),
    call.allocate([numRows]),
    call.allocate(logits.shape),
  ];
  const labels = call.integers(call.input('labels'));
  const scores = call.floats(logits);
  const gradients = call.floats(dLogits);
  const { simd } = call;
  for (const [row, label] of labels.entries()) {
    const start = row * numWords;
    const source = call.address(logits) + 4 * start;
    const target = call.address(dLogits) + 4 * start;
    const highest = simd.rowMax(source, numWords);
    const total = simd.exponentials(source, target, numWords, highest);
    simd.scale(target, numWords, 1 / total);
    const score = scores[start + label]!;
    gradients[start + label]! -= 1;
    call.floats(losses)[row] = Math.log(total) + highest - score;
    // Of several largest scores the first is the prediction.
    const isHit = score === highest && scores.subarray(start, start + label).indexOf(highest) === -1;
    call.floats(hits)[row] = isHit ? 1 : 0;
  }
  return [losses, hits, dLogits];
}

/** tfjs's UnsortedSegmentSum: `{x, segmentIds}`, `{numSegments}`; negative segments are left out. */
export function unsortedSegmentSum(call: WasmCall): TensorInfo {
  const x = call.input('x');
  const segmentIds = call.input('segmentIds');
  const numSegments = call.number('numSegments');
  const rowShape = x.shape.slice(segmentIds.shape.length);
  const rowSize = util.sizeFromShape(rowShape);
  const sums = call.zeros([numSegments, ...rowShape]);
  const [source, target] = [call.address(x), call.address(sums)];
  for (const [row, segment] of call.integers(segmentIds).entries()) {
    if (segment >= numSegments) {
      throw new RangeError(`segment ${segment} is outside the ${numSegments} segments`);
    }
    if (segment >= 0) call.simd.addTo(source + 4 * row * rowSize, target + 4 * segment * rowSize, rowSize);
  }
  return sums;
}

function matrixShape({ shape }: TensorInfo): [number, number] {
  const [rows, columns] = shape;
  if (shape.length !== 2 || rows === undefined || columns === undefined) {
    throw new RangeError(`got shape [${shape.join(', ')}], expected a matrix`);
  }
  return [rows, columns];
}
