import type * as tf from '@tensorflow/tfjs-core';
import type { FeedSpec } from '../engine/index.ts';
import type { EncoderInput } from '../model/bert.ts';

/** Padded rows of one length. N = B · L. */
export interface PaddedBatch {
  /** Real examples, the first rows; the others only fill the batch up. */
  readonly numExamples: number;
  /** L */
  readonly length: number;
  readonly ids_N: Int32Array;
  /** 1 for tokens, 0 for padding behind them. */
  readonly attentionMask_N: Int32Array;
  readonly typeIds_N: Int32Array;
}

/** What decides the operations of a step: one compiled step serves all batches of a shape. */
export interface PackedShape {
  /** B */
  readonly batchSize: number;
  /** Places of a row in attention. */
  readonly rowLength: number;
}

/** A batch without its padding, as feeds. */
export interface PackedFeeds {
  readonly shape: PackedShape;
  readonly values: Readonly<
    Record<'ids' | 'types' | 'columns' | 'places' | 'tokens' | 'mask' | 'firsts', Int32Array>
  >;
}

/** Attention has rows of a multiple of so many places, so that few shapes are compiled. */
const LENGTH_STEP = 32;
/** Tokens are filled up to a multiple of this: matrix products are prepared for each size anew. */
const TOKENS_STEP = 32;

/**
 * Takes the padding out of a batch, and the rows that only fill it up. What the encoder computes of a token does not
 * depend on padding, so this changes nothing but the work.
 */
export function packRows(batch: PaddedBatch): PackedFeeds {
  const { numExamples, length, ids_N, attentionMask_N, typeIds_N } = batch;
  const batchSize = ids_N.length / length;
  const lengths = Array.from({ length: batchSize }, (_, row) =>
    row < numExamples ? numTokensOf(attentionMask_N.subarray(row * length, (row + 1) * length)) : 0,
  );
  const rowLength = roundUp(Math.max(...lengths), LENGTH_STEP);
  const numPlaces = batchSize * rowLength;
  const numTokens = lengths.reduce((sum, size) => sum + size, 0);
  const size = Math.min(numPlaces, roundUp(numTokens, TOKENS_STEP));
  const ids = new Int32Array(size);
  const types = new Int32Array(size);
  const columns = new Int32Array(size);
  const places = new Int32Array(size);
  const tokens = new Int32Array(numPlaces);
  const mask = new Int32Array(numPlaces);
  const firsts = new Int32Array(batchSize);
  let token = 0;
  for (const [row, rowTokens] of lengths.entries()) {
    if (rowTokens > 0) firsts[row] = token;
    for (let column = 0; column < rowTokens; column += 1, token += 1) {
      const place = row * rowLength + column;
      ids[token] = ids_N[row * length + column]!;
      types[token] = typeIds_N[row * length + column]!;
      columns[token] = column;
      places[token] = place;
      tokens[place] = token;
      mask[place] = 1;
    }
  }
  // Where tokens are filled up there is padding; nothing reads what is computed there.
  if (size > token) places.fill(mask.indexOf(0), token);
  return { shape: { batchSize, rowLength }, values: { ids, types, columns, places, tokens, mask, firsts } };
}

function numTokensOf(mask: Int32Array): number {
  return mask.reduce((sum, isToken) => sum + isToken, 0);
}

function roundUp(value: number, step: number): number {
  return Math.max(1, Math.ceil(value / step)) * step;
}

/** Signature of the feeds of a shape. */
export function packedSpecs({ batchSize, rowLength }: PackedShape): Readonly<Record<string, FeedSpec>> {
  const int32 = (size: number | string): FeedSpec => ({ dtype: 'int32', shape: [size] });
  const varying = int32('tokens');
  const places = int32(batchSize * rowLength);
  return {
    ids: varying,
    types: varying,
    columns: varying,
    places: varying,
    tokens: places,
    mask: places,
    firsts: int32(batchSize),
  };
}

/** The encoder's input from these feeds; of the last layer the first token of each row is wanted. */
export function packedInput(
  feeds: Readonly<Record<string, tf.Tensor | undefined>>,
  { batchSize, rowLength }: PackedShape,
): EncoderInput & { readonly outputRows_M: tf.Tensor1D } {
  const vector = (name: string) => feeds[name] as tf.Tensor1D;
  return {
    batchSize,
    maxSeqLen: rowLength,
    ids_N: vector('ids'),
    typeIds_N: vector('types'),
    attentionMask_N: vector('mask'),
    packing: { positionIds_T: vector('columns'), place_T: vector('places'), token_N: vector('tokens') },
    outputRows_M: vector('firsts'),
    dropoutSeed: feeds.seed as tf.Tensor1D | undefined,
  };
}
