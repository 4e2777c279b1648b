import type { TensorInfo } from '@tensorflow/tfjs-core';
import { dropInto } from './kernels-wasm-elementwise.ts';
import type { WasmCall } from './wasm-call.ts';

/** Sizes of one attention, and how its matrices lie in [B * L, 3 * H]. */
interface Layout {
  readonly batchSize: number;
  readonly maxSeqLen: number;
  readonly numHeads: number;
  readonly headSize: number;
  /** Bytes from one token to the next among queries, keys and values. */
  readonly qkvStep: number;
  /** Bytes from one token to the next in the context. */
  readonly contextStep: number;
  /** 1 / √D */
  readonly scale: number;
}

/** Byte offsets of one head of one row. */
interface Head {
  readonly query: number;
  readonly key: number;
  readonly value: number;
  readonly context: number;
  /** Into [B, A, L, L]. */
  readonly scores: number;
  readonly row: number;
}

/** See `KERNELS.attention`. Works on the heads where they lie, without splitting them into tensors of their own. */
export function attention(call: WasmCall): TensorInfo[] {
  const qkv = call.input('qkv');
  const layout = layoutOf(call, qkv);
  const { maxSeqLen, headSize, qkvStep, contextStep, scale } = layout;
  const probs = call.zeros([layout.batchSize, layout.numHeads, maxSeqLen, maxSeqLen]);
  const context = call.zeros([layout.batchSize * maxSeqLen, layout.numHeads * headSize]);
  const turnedKey = call.allocate([headSize, maxSeqLen]);
  const given = call.optionalInput('scoreBias');
  const bias = given ?? call.zeros([maxSeqLen]);
  const { simd } = call;
  const scoreStep = 4 * maxSeqLen;

  const source = call.address(qkv);
  for (const head of headsOf(layout)) {
    const scores = call.address(probs) + head.scores;
    simd.transpose(source + head.key, qkvStep, call.address(turnedKey), scoreStep, maxSeqLen, headSize);
    simd.multiply(
      ...[source + head.query, qkvStep, 4],
      ...[call.address(turnedKey), scoreStep],
      ...[scores, scoreStep],
      ...[maxSeqLen, maxSeqLen, headSize],
    );
    const biasOfRow = call.address(bias) + (given === undefined ? 0 : head.row * scoreStep);
    simd.softmaxRows(scores, maxSeqLen, maxSeqLen, scale, biasOfRow);
  }
  const dropped = dropoutOf(call, probs);
  for (const head of headsOf(layout)) {
    simd.multiply(
      ...[call.address(dropped) + head.scores, scoreStep, 4],
      ...[call.address(qkv) + head.value, qkvStep],
      ...[call.address(context) + head.context, contextStep],
      ...[maxSeqLen, headSize, maxSeqLen],
    );
  }
  call.free(turnedKey, ...(given === undefined ? [bias] : []), ...(dropped === probs ? [] : [dropped]));
  return [context, probs];
}

/** See `KERNELS.attentionGradient`. */
export function attentionGradient(call: WasmCall): TensorInfo {
  const dContext = call.input('dContext');
  const qkv = call.input('qkv');
  const probs = call.input('probs');
  const layout = layoutOf(call, qkv);
  const { maxSeqLen, headSize, qkvStep, contextStep, scale } = layout;
  const dQkv = call.zeros(qkv.shape);
  const dScores = call.zeros(probs.shape);
  const turnedValue = call.allocate([headSize, maxSeqLen]);
  const dropped = dropoutOf(call, probs);
  const { simd } = call;
  const scoreStep = 4 * maxSeqLen;

  for (const head of headsOf(layout)) {
    simd.multiply(
      ...[call.address(dropped) + head.scores, 4, scoreStep],
      ...[call.address(dContext) + head.context, contextStep],
      ...[call.address(dQkv) + head.value, qkvStep],
      ...[maxSeqLen, headSize, maxSeqLen],
    );
    const value = call.address(qkv) + head.value;
    simd.transpose(value, qkvStep, call.address(turnedValue), scoreStep, maxSeqLen, headSize);
    simd.multiply(
      ...[call.address(dContext) + head.context, contextStep, 4],
      ...[call.address(turnedValue), scoreStep],
      ...[call.address(dScores) + head.scores, scoreStep],
      ...[maxSeqLen, maxSeqLen, headSize],
    );
  }
  if (hasDropout(call)) dropInto(call, dScores, dScores);
  for (const head of headsOf(layout)) {
    const scores = call.address(dScores) + head.scores;
    simd.softmaxGradientRows(scores, call.address(probs) + head.scores, maxSeqLen, maxSeqLen, scale);
    simd.multiply(
      ...[scores, scoreStep, 4],
      ...[call.address(qkv) + head.key, qkvStep],
      ...[call.address(dQkv) + head.query, qkvStep],
      ...[maxSeqLen, headSize, maxSeqLen],
    );
    simd.multiply(
      ...[scores, 4, scoreStep],
      ...[call.address(qkv) + head.query, qkvStep],
      ...[call.address(dQkv) + head.key, qkvStep],
      ...[maxSeqLen, headSize, maxSeqLen],
    );
  }
  call.free(dScores, turnedValue, ...(dropped === probs ? [] : [dropped]));
  return dQkv;
}

function layoutOf(call: WasmCall, qkv: TensorInfo): Layout {
  const numHeads = call.number('numHeads');
  const width = qkv.shape[1]!;
  const headSize = width / (3 * numHeads);
  return {
    batchSize: call.number('batchSize'),
    maxSeqLen: call.number('maxSeqLen'),
    numHeads,
    headSize,
    qkvStep: 4 * width,
    contextStep: 4 * numHeads * headSize,
    scale: 1 / Math.sqrt(headSize),
  };
}

function* headsOf(layout: Layout): Generator<Head> {
  const { batchSize, maxSeqLen, numHeads, headSize, qkvStep, contextStep } = layout;
  for (let row = 0; row < batchSize; row += 1) {
    for (let head = 0; head < numHeads; head += 1) {
      const query = row * maxSeqLen * qkvStep + 4 * head * headSize;
      yield {
        row,
        query,
        key: query + contextStep,
        value: query + 2 * contextStep,
        context: row * maxSeqLen * contextStep + 4 * head * headSize,
        scores: 4 * (row * numHeads + head) * maxSeqLen * maxSeqLen,
      };
    }
  }
}

function hasDropout(call: WasmCall): boolean {
  return call.optionalInput('seed') !== undefined && call.number('rate') > 0;
}

/** The probabilities after dropout: a new tensor, or the same one without dropout. */
function dropoutOf(call: WasmCall, probs: TensorInfo): TensorInfo {
  if (!hasDropout(call)) return probs;
  const dropped = call.allocate(probs.shape);
  dropInto(call, probs, dropped);
  return dropped;
}
