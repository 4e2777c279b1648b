import type { Tokenizer } from '../../pipeline/index.ts';
import type { GlueExample } from './example.ts';

/** Encoded examples, one after another in flat arrays. */
export interface EncodedExamples {
  readonly numExamples: number;
  /** [sum of lengths] token ids without padding. */
  readonly ids: Int32Array;
  /** [num examples] exclusive end of each example in `ids`. */
  readonly ends: Uint32Array;
  /** [num examples] tokens of `[CLS] a [SEP]`, which are of type 0; those of `b [SEP]` are of type 1. */
  readonly firstLengths: Uint32Array;
  /** [num examples] classes or scores; NaN without a label. */
  readonly labels: Float32Array;
  /** [num examples] numbers of the examples in their split. */
  readonly indexes: Int32Array;
  /** Examples that lost tokens. */
  readonly numTruncated: number;
}

/** Rows of equal length, as the encoder takes them. N = B · L. */
export interface PaddedRows {
  readonly ids_N: Int32Array;
  /** 1 for tokens, 0 for padding. */
  readonly attentionMask_N: Int32Array;
  /** 0 for the first text and padding, 1 for the second. */
  readonly typeIds_N: Int32Array;
}

/** `[CLS] a [SEP]` */
const SPECIALS_ALONE = 2;
/** `[CLS] a [SEP] b [SEP]` */
const SPECIALS_PAIR = 3;

/**
 * How many tokens of two texts are kept, as `longest_first` of Hugging Face's fast tokenizers decides it: tokens go
 * from the longer text's end until the pair fits; when both texts are longer than half, each gets half, and the one
 * token more of an odd room goes to the longer, or to the second of two equally long.
 * @param room tokens for both together
 */
export function truncatedLengths(first: number, second: number, room: number): readonly [number, number] {
  if (first + second <= room) return [first, second];
  const shorter = Math.min(first, second);
  const half = Math.floor(room / 2);
  const [kept, rest] = shorter > half ? [half, room - half] : [shorter, room - shorter];
  return first <= second ? [kept, rest] : [rest, kept];
}

/**
 * Encodes examples as `BertTokenizerFast(a, b, truncation=True, max_length=maxLength)` does:
 * `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`.
 * @throws RangeError for a length without room for the special tokens
 */
export function encodeExamples(
  examples: readonly GlueExample[],
  tokenizer: Tokenizer,
  maxLength: number,
): EncodedExamples {
  if (!Number.isInteger(maxLength) || maxLength < SPECIALS_PAIR) {
    throw new RangeError(`length ${maxLength}, expected a whole number of at least ${SPECIALS_PAIR}`);
  }
  const { cls, sep } = tokenizer.specialTokenIds;
  const ends = new Uint32Array(examples.length);
  const firstLengths = new Uint32Array(examples.length);
  let ids = new Int32Array(Math.max(1, examples.length) * Math.min(maxLength, 64));
  let end = 0;
  let numTruncated = 0;
  for (const [index, { texts }] of examples.entries()) {
    const first = tokenizer.encode(texts[0]!);
    const second = texts[1] === undefined ? undefined : tokenizer.encode(texts[1]);
    const [numFirst, numSecond] =
      second === undefined
        ? [Math.min(first.length, maxLength - SPECIALS_ALONE), 0]
        : truncatedLengths(first.length, second.length, maxLength - SPECIALS_PAIR);
    if (numFirst + numSecond < first.length + (second?.length ?? 0)) numTruncated += 1;
    if (end + maxLength > ids.length) ids = grown(ids, end + maxLength);
    ids[end] = cls;
    ids.set(first.subarray(0, numFirst), end + 1);
    end += 1 + numFirst;
    ids[end] = sep;
    end += 1;
    firstLengths[index] = numFirst + SPECIALS_ALONE;
    if (second !== undefined) {
      ids.set(second.subarray(0, numSecond), end);
      end += numSecond;
      ids[end] = sep;
      end += 1;
    }
    ends[index] = end;
  }
  return {
    numExamples: examples.length,
    ids: ids.slice(0, end),
    ends,
    firstLengths,
    labels: Float32Array.from(examples, ({ label }) => label ?? Number.NaN),
    indexes: Int32Array.from(examples, ({ index }) => index),
    numTruncated,
  };
}

function grown(ids: Int32Array<ArrayBuffer>, atLeast: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(Math.max(2 * ids.length, atLeast));
  larger.set(ids);
  return larger;
}

/** Tokens of each example, special ones included. */
export function lengthsOf({ ends }: EncodedExamples): Uint32Array {
  return ends.map((end, index) => end - (ends[index - 1] ?? 0));
}

/**
 * Rows padded to one length.
 * @param rows [B] numbers of examples
 * @param length L, at least that of the longest of them
 * @param padId id of `[PAD]`
 * @throws RangeError for an example that is longer
 */
export function padRows(
  encoded: EncodedExamples,
  rows: ArrayLike<number>,
  length: number,
  padId: number,
): PaddedRows {
  const size = rows.length * length;
  const ids_N = new Int32Array(size).fill(padId);
  const attentionMask_N = new Int32Array(size);
  const typeIds_N = new Int32Array(size);
  for (let at = 0; at < rows.length; at += 1) {
    const row = rows[at]!;
    const start = encoded.ends[row - 1] ?? 0;
    const end = encoded.ends[row]!;
    if (end - start > length) {
      throw new RangeError(`example ${row} has ${end - start} tokens, expected at most ${length}`);
    }
    const offset = at * length;
    ids_N.set(encoded.ids.subarray(start, end), offset);
    attentionMask_N.fill(1, offset, offset + end - start);
    typeIds_N.fill(1, offset + encoded.firstLengths[row]!, offset + end - start);
  }
  return { ids_N, attentionMask_N, typeIds_N };
}
