import type { PairOptions, PairVariant } from '../batch-options.ts';
import { Random } from '../random.ts';
import type { ContrastivePairs } from '../types.ts';

/**
 * The tokens of a micro-batch that may be anchor, positive or negative: no padding, and no special tokens where
 * those are excluded. Ranks, indices into `positions`, are what is drawn.
 */
export interface EligibleTokens {
  /** [E] flat positions, ascending. */
  readonly positions: Int32Array;
  /** [B + 1] ranks at which each row begins; the last entry is E. */
  readonly rowStarts: Int32Array;
}

/**
 * @param ids [B * L] original ids, before masking: a token that MLM replaces by [MASK] is not special
 * @param lengths [B] tokens of each row before its padding
 * @param excluded [vocabSize] 1 for ids to leave out; undefined leaves out padding alone
 */
export function eligibleTokens(
  ids: Int32Array,
  lengths: Int32Array,
  maxSeqLen: number,
  excluded: Uint8Array | undefined,
): EligibleTokens {
  const positions = new Int32Array(ids.length);
  const rowStarts = new Int32Array(lengths.length + 1);
  let count = 0;
  for (let row = 0; row < lengths.length; row += 1) {
    const start = row * maxSeqLen;
    const end = start + lengths[row]!;
    for (let position = start; position < end; position += 1) {
      if (excluded?.[ids[position]!] === 1) continue;
      positions[count] = position;
      count += 1;
    }
    rowStarts[row + 1] = count;
  }
  return { positions: positions.subarray(0, count), rowStarts };
}

/** Ranks that the `readme` rule draws a rank's positive from: [low, high) without the rank itself. */
interface Windows {
  readonly low: Int32Array;
  readonly high: Int32Array;
}

function windowsOf({ positions, rowStarts }: EligibleTokens, reach: number): Windows {
  const low = new Int32Array(positions.length);
  const high = new Int32Array(positions.length);
  for (let row = 0; row + 1 < rowStarts.length; row += 1) {
    const rowStart = rowStarts[row]!;
    const rowEnd = rowStarts[row + 1]!;
    let first = rowStart;
    let end = rowStart;
    for (let rank = rowStart; rank < rowEnd; rank += 1) {
      const position = positions[rank]!;
      while (positions[first]! < position - reach) first += 1;
      while (end < rowEnd && positions[end]! <= position + reach) end += 1;
      low[rank] = first;
      high[rank] = end;
    }
  }
  return { low, high };
}

/** A rank in [low, high) other than `rank`, uniform. There must be one. */
function drawOther(random: Random, low: number, high: number, rank: number): number {
  const drawn = low + random.below(high - low - 1);
  return drawn < rank ? drawn : drawn + 1;
}

/** Rank of a flat position among [low, high), or -1 where it is not eligible. */
function rankOf(positions: Int32Array, position: number, low: number, high: number): number {
  let from = low;
  let to = high;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (positions[middle]! < position) from = middle + 1;
    else to = middle;
  }
  return from < high && positions[from] === position ? from : -1;
}

/**
 * The original scripts' positive: offset uniform over ±1..±half; where that leaves the row, or hits a token that
 * does not take part, any other token of the row, uniform.
 */
function drawCentered(
  random: Random,
  positions: Int32Array,
  half: number,
  rank: number,
  rowStart: number,
  rowEnd: number,
): number {
  const step = random.below(2 * half);
  const offset = step < half ? step - half : step - half + 1;
  const low = Math.max(rowStart, rank - half);
  const high = Math.min(rowEnd, rank + half + 1);
  const near = rankOf(positions, positions[rank]! + offset, low, high);
  return near >= 0 ? near : drawOther(random, rowStart, rowEnd, rank);
}

function wanted(variant: PairVariant, selected: boolean): boolean {
  return variant === 'all' || (variant === 'masked') === selected;
}

/** Parts of keys that keep positives and negatives unrelated. */
const POSITIVES_KEY = 1;
const NEGATIVES_KEY = 2;

/**
 * Draws the pairs of TACO's token-level contrastive loss (Fu et al., ACL 2022, §3): for each anchor t1 one
 * positive t2 of the same row near it, and K negatives, uniform with replacement over the eligible tokens of the
 * other rows. A token without a possible positive (alone in its row or window) or without a possible negative
 * (nothing but padding in the other rows) is no anchor.
 *
 * @param selected [B * L] 1 for the tokens that MLM selected, whatever became of them
 * @param key names the micro-batch; equal keys draw equal pairs
 * @returns ranks resolved to flat positions; arrays are empty when there is no anchor
 */
export function samplePairs(
  eligible: EligibleTokens,
  selected: Uint8Array,
  options: Required<PairOptions>,
  ...key: readonly number[]
): ContrastivePairs {
  const { positions, rowStarts } = eligible;
  const { numNegatives, windowRule, variant } = options;
  const numEligible = positions.length;
  const windows = windowRule === 'readme' ? windowsOf(eligible, options.positiveWindow - 1) : undefined;
  const half = Math.floor(options.positiveWindow / 2);

  const anchorRanks = new Int32Array(numEligible);
  const anchorRows = new Int32Array(numEligible);
  let numAnchors = 0;
  for (let row = 0; row + 1 < rowStarts.length; row += 1) {
    const rowStart = rowStarts[row]!;
    const rowEnd = rowStarts[row + 1]!;
    if (rowEnd - rowStart < 2 || rowEnd - rowStart === numEligible) continue;
    for (let rank = rowStart; rank < rowEnd; rank += 1) {
      if (!wanted(variant, selected[positions[rank]!] === 1)) continue;
      if (windows !== undefined && windows.high[rank]! - windows.low[rank]! < 2) continue;
      anchorRanks[numAnchors] = rank;
      anchorRows[numAnchors] = row;
      numAnchors += 1;
    }
  }

  const anchors = new Int32Array(numAnchors);
  const positives = new Int32Array(numAnchors);
  const negatives = new Int32Array(numAnchors * numNegatives);
  // Twice around, so that the other rows of any row are one run: a branch here would be mispredicted half the time.
  const circle = new Int32Array(2 * numEligible);
  circle.set(positions);
  circle.set(positions, numEligible);
  const positiveRandom = new Random(POSITIVES_KEY, ...key);
  const negativeRandom = new Random(NEGATIVES_KEY, ...key);
  let next = 0;
  for (let anchor = 0; anchor < numAnchors; anchor += 1) {
    const rank = anchorRanks[anchor]!;
    const rowStart = rowStarts[anchorRows[anchor]!]!;
    const rowEnd = rowStarts[anchorRows[anchor]! + 1]!;
    const positive =
      windows === undefined
        ? drawCentered(positiveRandom, positions, half, rank, rowStart, rowEnd)
        : drawOther(positiveRandom, windows.low[rank]!, windows.high[rank]!, rank);
    anchors[anchor] = positions[rank]!;
    positives[anchor] = positions[positive]!;
    const numOthers = numEligible - (rowEnd - rowStart);
    for (const end = next + numNegatives; next < end; next += 1) {
      negatives[next] = circle[rowEnd + negativeRandom.below(numOthers)]!;
    }
  }
  return { anchors, positives, negatives };
}
