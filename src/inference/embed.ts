import { setImmediate as nextTurn } from 'node:timers/promises';
import type { HiddenStates, TokenRows } from './inference-session.ts';

/** What embeds texts. */
export interface Embedder {
  readonly session: { hiddenStates(rows: TokenRows): HiddenStates };
  readonly tokenizer: {
    encode(text: string): Int32Array;
    readonly specialTokenIds: { readonly cls: number; readonly sep: number; readonly pad: number };
  };
  readonly config: { readonly hiddenSize: number; readonly maxPositions: number };
}

export interface Embeddings {
  /** [texts.length * H] */
  readonly vectors: Float32Array<ArrayBuffer>;
  /** Texts that were longer than the model's longest row, and cut. */
  readonly numCut: number;
}

/** Rows of one call of the model. */
const BATCH_ROWS = 16;
/** Lengths are filled up to multiples of this, so that few shapes are compiled. */
const LENGTH_STEP = 32;

export interface EmbedOptions {
  readonly signal?: AbortSignal;
  /** Called after each batch with the number of texts that are done. */
  readonly onProgress?: (numTexts: number) => void;
}

/**
 * A vector for each text: the mean of the last layer over its tokens, [CLS] and [SEP] included, padding not. Texts of
 * similar length share a batch; what a text's vector is does not depend on the others but for rounding.
 * @throws the signal's reason
 */
export async function embedTexts(
  { session, tokenizer, config }: Embedder,
  texts: readonly string[],
  { signal, onProgress }: EmbedOptions = {},
): Promise<Embeddings> {
  const { hiddenSize, maxPositions } = config;
  const { cls, sep, pad } = tokenizer.specialTokenIds;
  const rows = texts.map((text) => tokenizer.encode(text));
  const numTokens = rows.map(({ length }) => Math.min(length + 2, maxPositions));
  const order = [...rows.keys()].sort((a, b) => numTokens[a]! - numTokens[b]! || a - b);
  const vectors = new Float32Array(texts.length * hiddenSize);
  for (let first = 0; first < order.length; first += BATCH_ROWS) {
    // The model computes synchronously: without a turn of the event loop no signal would ever arrive.
    await nextTurn();
    signal?.throwIfAborted();
    const members = order.slice(first, first + BATCH_ROWS);
    const longest = Math.max(...members.map((index) => numTokens[index]!));
    const maxSeqLen = Math.min(Math.ceil(longest / LENGTH_STEP) * LENGTH_STEP, maxPositions);
    const inputIds = new Int32Array(BATCH_ROWS * maxSeqLen).fill(pad);
    const attentionMask = new Int32Array(BATCH_ROWS * maxSeqLen);
    for (const [row, index] of members.entries()) {
      const at = row * maxSeqLen;
      const end = at + numTokens[index]!;
      inputIds[at] = cls;
      inputIds.set(rows[index]!.subarray(0, numTokens[index]! - 2), at + 1);
      inputIds[end - 1] = sep;
      attentionMask.fill(1, at, end);
    }
    const { hidden, rowLength } = session.hiddenStates({
      batchSize: BATCH_ROWS,
      maxSeqLen,
      inputIds,
      attentionMask,
    });
    for (const [row, index] of members.entries()) {
      const from = row * rowLength * hiddenSize;
      const tokens = hidden.subarray(from, from + numTokens[index]! * hiddenSize);
      vectors.set(meanOf(tokens, hiddenSize), index * hiddenSize);
    }
    onProgress?.(first + members.length);
  }
  return { vectors, numCut: rows.filter(({ length }) => length + 2 > maxPositions).length };
}

/** @param tokens [n * H], n at least 1 */
function meanOf(tokens: Float32Array, hiddenSize: number): Float64Array {
  const sums = new Float64Array(hiddenSize);
  for (const [at, value] of tokens.entries()) sums[at % hiddenSize]! += value;
  return sums.map((sum) => (sum * hiddenSize) / tokens.length);
}
