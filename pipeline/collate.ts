import type { SamplingSettings } from './batch-options.ts';
import { createMaskedTokens, createMasker, specialTable } from './sampling/masking.ts';
import { eligibleTokens, samplePairs } from './sampling/pairs.ts';
import type { Batch, BatchCursor, SpecialTokenIds } from './types.ts';

/** What of a dataset its batches depend on. */
export interface RowFacts {
  readonly maxSeqLen: number;
  readonly vocabSize: number;
  readonly specialTokenIds: SpecialTokenIds;
}

/** Rows on their way to a batch. */
export interface RowsToCollate {
  /** [B * L] original ids; masked in place and handed on as the batch's `inputIds`. */
  readonly ids: Int32Array<ArrayBuffer>;
  /** [B] number that names each row's masks: its position in the run, or its row in the validation split. */
  readonly rowNumbers: readonly number[];
  /** State after these rows. */
  readonly cursor: BatchCursor;
}

/** Parts of keys that keep masks and pairs, training and evaluation unrelated. */
const MASK_KEY = 1;
const PAIR_KEY = 2;
const PURPOSES = { train: 1, validation: 2 } as const;

/**
 * Tokens of a row before its padding: the run of padding ids at its end. A padding id before that is text that
 * spells [PAD], a special token like others.
 */
function lengthOf(ids: Int32Array, start: number, end: number, padId: number): number {
  let length = end - start;
  while (length > 0 && ids[start + length - 1] === padId) length -= 1;
  return length;
}

function attentionMaskOf(lengths: Int32Array, maxSeqLen: number): Int32Array<ArrayBuffer> | undefined {
  if (lengths.every((length) => length === maxSeqLen)) return undefined;
  const mask = new Int32Array(lengths.length * maxSeqLen);
  for (let row = 0; row < lengths.length; row += 1) {
    mask.fill(1, row * maxSeqLen, row * maxSeqLen + lengths[row]!);
  }
  return mask;
}

/**
 * A function that turns rows into a batch: masks, attention mask, pairs. The masks of a row depend on the seed
 * and the row's number, its pairs on the seed and the number of the micro-batch's first row.
 */
export function createCollator(
  facts: RowFacts,
  settings: SamplingSettings,
  purpose: keyof typeof PURPOSES,
): (rows: RowsToCollate) => Batch {
  const { maxSeqLen, vocabSize, specialTokenIds } = facts;
  const { seed, taco } = settings;
  const mask = createMasker({ probability: settings.mlmProbability, vocabSize, specialTokenIds });
  const excluded = taco?.excludeSpecial === true ? specialTable(vocabSize, specialTokenIds) : undefined;

  return ({ ids, rowNumbers, cursor }) => {
    const batchSize = rowNumbers.length;
    const lengths = Int32Array.from(rowNumbers, (_, row) =>
      lengthOf(ids, row * maxSeqLen, (row + 1) * maxSeqLen, specialTokenIds.pad),
    );
    const eligible = taco === undefined ? undefined : eligibleTokens(ids, lengths, maxSeqLen, excluded);

    const masked = createMaskedTokens(ids.length);
    for (let row = 0; row < batchSize; row += 1) {
      const start = row * maxSeqLen;
      mask(ids, start, start + lengths[row]!, masked, MASK_KEY, PURPOSES[purpose], seed, rowNumbers[row]!);
    }
    const maskedPositions = masked.positions.slice(0, masked.count);

    let pairs: Batch['pairs'];
    if (taco !== undefined && eligible !== undefined) {
      const selected = new Uint8Array(ids.length);
      for (const position of maskedPositions) selected[position] = 1;
      pairs = samplePairs(eligible, selected, taco, PAIR_KEY, PURPOSES[purpose], seed, rowNumbers[0]!);
    }
    return {
      batchSize,
      maxSeqLen,
      inputIds: ids,
      attentionMask: attentionMaskOf(lengths, maxSeqLen),
      maskedPositions,
      maskedLabels: masked.labels.slice(0, masked.count),
      pairs,
      cursor,
    };
  };
}
