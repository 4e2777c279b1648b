import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { WasmCall } from './wasm-call.ts';

/** See `KERNELS.contrast`. Reads the rows where they lie, so that nothing of size [A, K, D] is made. */
export function contrast(call: WasmCall): TensorInfo[] {
  const unit = call.input('unit');
  const negatives = call.input('negatives');
  const [numRows, rowSize] = unit.shape as [number, number];
  const [numAnchors, numNegatives] = negatives.shape as [number, number];
  const inverseTemperature = call.number('inverseTemperature');
  const numCandidates = numNegatives + 1;
  const outputs = [
    call.allocate([numAnchors, 1]),
    call.allocate([numAnchors, 1]),
    call.allocate([numAnchors, rowSize]),
  ] as const;
  const scratch = [call.allocate([numCandidates]), call.allocate([numCandidates])] as const;
  const [scores, candidates] = scratch.map((info) => call.address(info)) as [number, number];
  const { simd } = call;

  const [anchorRows, positiveRows, negativeRows] = ['anchors', 'positives', 'negatives'].map((name) =>
    call.integers(call.input(name)),
  );
  const [losses, hits, shares] = [outputs[0], outputs[1], scratch[0]].map((info) => call.floats(info));
  const addresses = call.words(scratch[1]);
  const [firstRow, firstSum] = [call.address(unit), call.address(outputs[2])];
  const addressOf = (row: number): number => {
    if (row < 0 || row >= numRows) throw new RangeError(`row ${row} is outside the ${numRows} rows`);
    return firstRow + 4 * row * rowSize;
  };
  for (let i = 0; i < numAnchors; i += 1) {
    for (let k = 0; k < numNegatives; k += 1) {
      addresses[k] = addressOf(negativeRows![i * numNegatives + k]!);
    }
    addresses[numNegatives] = addressOf(positiveRows![i]!);
    simd.gatheredDots(addressOf(anchorRows![i]!), candidates, numCandidates, rowSize, scores);
    simd.scale(scores, numCandidates, inverseTemperature);
    const positive = shares![numNegatives]!;
    const highestNegative = simd.rowMax(scores, numNegatives);
    const highest = Math.max(positive, highestNegative);
    const total = simd.exponentials(scores, scores, numCandidates, highest);
    losses![i] = Math.log(total) + highest - positive;
    hits![i] = positive > highestNegative ? 1 : 0;
    simd.scale(scores, numCandidates, 1 / total);
    shares![numNegatives]! -= 1;
    simd.gatheredSum(scores, candidates, numCandidates, rowSize, firstSum + 4 * i * rowSize);
  }
  call.free(...scratch);
  return [...outputs];
}
