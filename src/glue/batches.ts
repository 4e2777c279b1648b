import { Random } from '../../pipeline/index.ts';
import { type EncodedExamples, type PaddedRows, padRows } from './encode.ts';

/**
 * How an epoch's examples become batches:
 *
 * - `bucketed`: batches of examples of like length, each padded to the least of a few lengths that holds them
 * - `plain`: the shuffled order cut into batches, all padded to the greatest length, as `run_glue.py` does
 */
export type BatchMode = 'bucketed' | 'plain';

export interface EpochOptions {
  /** B, rows of every batch. */
  readonly batchSize: number;
  /** Lengths that batches may have, ascending: each is a shape to compile for. */
  readonly paddedLengths: readonly number[];
  readonly mode: BatchMode;
  readonly seed: number;
  readonly epoch: number;
}

/** Which examples make a batch. */
export interface PlannedBatch {
  /** B of them, fewer in one batch of the epoch. */
  readonly rows: Uint32Array;
  /** L */
  readonly length: number;
}

/** A batch of fixed shape. */
export interface GlueBatch extends PaddedRows {
  /** L */
  readonly length: number;
  /** Real examples; they are the first rows. */
  readonly numExamples: number;
  /** [B] numbers of the examples; rows that only fill the batch up repeat its first. */
  readonly rows_B: Uint32Array;
  /** [B] 1 for examples, 0 for filling: a loss is the sum of weighted losses over `numExamples`. */
  readonly weights_B: Float32Array;
  /** [B] classes or scores, NaN without labels. */
  readonly labels_B: Float32Array;
}

const LENGTH_STEP = 32;
/** Keep the kinds of shuffling unrelated. */
const EXAMPLES_KEY = 0x61;
const BATCHES_KEY = 0x62;

/** 32, 64, 96, … and the greatest length itself. */
export function paddedLengthsUpTo(maxLength: number): readonly number[] {
  const steps = Math.ceil(maxLength / LENGTH_STEP);
  return Array.from({ length: steps }, (_, step) => Math.min((step + 1) * LENGTH_STEP, maxLength));
}

/**
 * The batches of one epoch: a function of (seed, epoch), in which every example comes once, in ⌈examples / B⌉ batches
 * in either mode.
 *
 * `bucketed` keeps the order mixed: examples are shuffled, dealt in that order to the bucket of their length, and a
 * bucket that is full becomes a batch; what is left in the buckets at the end fills the last batches from short to
 * long. Then the batches are shuffled. Which examples of a length share a batch and when a batch comes is thus
 * uniformly random, each epoch anew; only that neighbours in a batch are of like length is not.
 * @param lengths [num examples] tokens of each
 * @throws RangeError for an example longer than the greatest length, or a batch of no rows
 */
export function planEpoch(lengths: ArrayLike<number>, options: EpochOptions): readonly PlannedBatch[] {
  const { batchSize, paddedLengths, mode, seed, epoch } = options;
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    throw new RangeError(`batches of ${batchSize} rows, expected a whole number of at least 1`);
  }
  const bucketOf = Uint32Array.from(lengths, (length, row) => {
    const bucket = paddedLengths.findIndex((padded) => length <= padded);
    if (bucket !== -1) return bucket;
    throw new RangeError(`example ${row} has ${length} tokens, expected at most ${paddedLengths.at(-1)!}`);
  });
  const order = shuffled(
    Uint32Array.from(bucketOf, (_, row) => row),
    new Random(seed, epoch, EXAMPLES_KEY),
  );
  if (mode === 'plain') return cut(order, batchSize, () => paddedLengths.at(-1)!);

  const buckets = paddedLengths.map((): number[] => []);
  const batches: PlannedBatch[] = [];
  for (const row of order) {
    const bucket = buckets[bucketOf[row]!]!;
    if (bucket.push(row) < batchSize) continue;
    batches.push({ rows: Uint32Array.from(bucket), length: paddedLengths[bucketOf[row]!]! });
    bucket.length = 0;
  }
  const rest = Uint32Array.from(buckets.flat());
  batches.push(...cut(rest, batchSize, (rows) => paddedLengths[bucketOf[rows.at(-1)!]!]!));
  return shuffled(batches, new Random(seed, epoch, BATCHES_KEY));
}

function cut(
  rows: Uint32Array,
  batchSize: number,
  lengthOf: (rows: Uint32Array) => number,
): readonly PlannedBatch[] {
  return Array.from({ length: Math.ceil(rows.length / batchSize) }, (_, index) => {
    const some = rows.slice(index * batchSize, (index + 1) * batchSize);
    return { rows: some, length: lengthOf(some) };
  });
}

/** Fisher and Yates' shuffle, in place. */
function shuffled<T, List extends { [index: number]: T; readonly length: number }>(
  list: List,
  random: Random,
): List {
  for (let last = list.length - 1; last > 0; last -= 1) {
    const chosen = random.below(last + 1);
    const kept = list[last]!;
    list[last] = list[chosen]!;
    list[chosen] = kept;
  }
  return list;
}

/**
 * Fills in a planned batch: always B rows, so that a length is a compiled shape.
 * @param padId id of `[PAD]`
 */
export function assembleBatch(
  encoded: EncodedExamples,
  { rows, length }: PlannedBatch,
  batchSize: number,
  padId: number,
): GlueBatch {
  const rows_B = new Uint32Array(batchSize).fill(rows[0]!);
  rows_B.set(rows);
  return {
    ...padRows(encoded, rows_B, length, padId),
    length,
    numExamples: rows.length,
    rows_B,
    weights_B: new Float32Array(batchSize).fill(1, 0, rows.length),
    labels_B: Float32Array.from(rows_B, (row) => encoded.labels[row]!),
  };
}
