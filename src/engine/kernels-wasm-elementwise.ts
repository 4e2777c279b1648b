import { type TensorInfo, util } from '@tensorflow/tfjs-core';
import { statelessStart } from './philox.ts';
import { DROPOUT_BLOCK } from './simd/elementwise.ts';
import type { WasmCall } from './wasm-call.ts';

/** `{x}` → y */
export function gelu(call: WasmCall): TensorInfo {
  const x = call.input('x');
  const y = call.allocate(x.shape);
  call.simd.gelu(call.address(x), call.address(y), util.sizeFromShape(x.shape));
  return y;
}

/** `{dy, x}` → dx */
export function geluGradient(call: WasmCall): TensorInfo {
  const dy = call.input('dy');
  const x = call.input('x');
  const dx = call.allocate(x.shape);
  const size = util.sizeFromShape(x.shape);
  call.simd.geluGradient(call.address(dy), call.address(x), call.address(dx), size);
  return dx;
}

/** `{x, seed}`, `{rate, site}` → y */
export function dropout(call: WasmCall): TensorInfo {
  const x = call.input('x');
  const y = call.allocate(x.shape);
  dropInto(call, x, y);
  return y;
}

/** Dropout of x into y, which may be x, with the call's seed, rate and site. */
export function dropInto(call: WasmCall, x: TensorInfo, y: TensorInfo): void {
  const size = util.sizeFromShape(x.shape);
  const rate = call.number('rate');
  // u ≥ rate, where u = word / 2^23 and the rate is a float32, holds from this word on.
  const threshold = Math.ceil(Math.fround(rate) * 2 ** 23);
  const numBlocks = Math.floor(size / DROPOUT_BLOCK);
  const rest = size - numBlocks * DROPOUT_BLOCK;
  const scratch = call.allocate([DROPOUT_BLOCK]);

  const [seed0, seed1] = call.integers(call.input('seed'));
  const { key, counter } = statelessStart(seed0! + call.number('site'), seed1!);
  const run = (source: number, target: number, blocks: number, firstCounter: number): void => {
    call.simd.dropout(
      ...[source, target, blocks],
      ...[key[0], key[1], firstCounter, counter[2], counter[3]],
      ...[threshold, 1 / (1 - rate)],
    );
  };
  run(call.address(x), call.address(y), numBlocks, 0);
  if (rest > 0) {
    const start = numBlocks * DROPOUT_BLOCK;
    const last = call.floats(scratch).fill(0);
    last.set(call.floats(x).subarray(start));
    run(call.address(scratch), call.address(scratch), 1, (numBlocks * DROPOUT_BLOCK) / 4);
    call.floats(y).set(last.subarray(0, rest), start);
  }
  call.free(scratch);
}

/** `{x}` → scalar */
export function sumOfSquares(call: WasmCall): TensorInfo {
  const x = call.input('x');
  const sum = call.allocate([]);
  call.floats(sum)[0] = call.simd.sumOfSquares(call.address(x), util.sizeFromShape(x.shape));
  return sum;
}

/** See `KERNELS.adamW`. */
export function adamW(call: WasmCall): TensorInfo[] {
  const old = ['parameter', 'gradient', 'firstMoment', 'secondMoment'].map((name) => call.input(name));
  const { shape } = old[0]!;
  const made = [old[0]!, old[2]!, old[3]!].map((info) => call.overwritable(info) ?? call.allocate(shape));
  call.simd.adamW(
    ...old.map((info) => call.address(info)),
    ...made.map((info) => call.address(info)),
    util.sizeFromShape(shape),
    ...[call.number('beta1'), call.number('beta2')],
    ...['scale1', 'scale2', 'stepSize', 'epsilon', 'keep'].map((name) => call.scalar(name)),
  );
  return made;
}
