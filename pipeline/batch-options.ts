import { TacoError } from './errors.ts';
import type { Mixture } from './mixture.ts';
import type { WaitNotice } from './sources/source.ts';
import type { BatchCursor } from './types.ts';

/** Which tokens are anchors of the contrastive loss (docs: README, section on TACO). */
export type PairVariant = 'all' | 'unmasked' | 'masked';

/**
 * Where a positive may lie. `readme`: any position with 0 < |t1 − t2| < W inside the row. `centered`: W odd,
 * ±1..±⌊W/2⌋, and a draw outside the row becomes a uniform draw over the row's other positions.
 */
export type WindowRule = 'readme' | 'centered';

/** How pairs of the token-level contrastive loss are drawn. */
export interface PairOptions {
  /** K, negatives of each anchor. Default 50. */
  readonly numNegatives?: number;
  /** W. Default 5. */
  readonly positiveWindow?: number;
  /** Default `readme`. */
  readonly windowRule?: WindowRule;
  /** Default `all`. */
  readonly variant?: PairVariant;
  /** Leave [CLS], [SEP] and the other special tokens out as anchors, positives and negatives. Default false. */
  readonly excludeSpecial?: boolean;
}

/** What training and evaluation batches have in common. */
export interface SamplingOptions {
  /** B, rows of a micro-batch; at least 2 with `taco`. */
  readonly batchSize: number;
  /** Whole number from 0 to 2^53 − 1. */
  readonly seed: number;
  /** Share of the tokens that MLM selects, above 0 and at most 1. Default 0.15. */
  readonly mlmProbability?: number;
  /** Given: batches carry contrastive pairs. */
  readonly taco?: PairOptions | undefined;
}

export interface BatchOptions extends SamplingOptions {
  /** Datasets as `--data` takes them, see data-spec.ts: folders that prepare-data filled, mixed by weight. */
  readonly data: readonly string[];
  /**
   * Go on with the row after those this cursor counts. Another batch size and other weights are allowed and
   * apply from there on. Default: the beginning of the first epoch.
   */
  readonly cursor?: BatchCursor | undefined;
  /** Batches that may be under way without credit, at least 1. Default 4. */
  readonly prefetch?: number;
  /** Make batches in a worker thread. Default true; false is for tests and measurements. */
  readonly worker?: boolean;
  /** Hears of pauses that the Hub asked for or that a fault of the network made necessary. */
  readonly onWait?: (notice: WaitNotice) => void;
  /** Silence of the worker thread that makes it count as hung. Default 20,000. */
  readonly hangTimeoutMs?: number;
}

export interface EvaluationOptions extends SamplingOptions {
  /** Open, so that nothing is looked up anew for each evaluation. */
  readonly mixture: Mixture;
  /** Use at most this many rows, spread evenly over the validation rows of all datasets. Default: all. */
  readonly maxRows?: number | undefined;
}

/** `SamplingOptions` with the defaults filled in and checked. */
export interface SamplingSettings {
  readonly batchSize: number;
  readonly seed: number;
  readonly mlmProbability: number;
  readonly taco: Required<PairOptions> | undefined;
}

function requireWhole(name: string, value: number, atLeast: number): void {
  if (!Number.isSafeInteger(value) || value < atLeast) {
    throw new TacoError(`${name} is ${value}, expected a whole number of at least ${atLeast}`, {
      code: 'bad-config',
      stage: 'batches',
    });
  }
}

function resolvePairs(options: PairOptions): Required<PairOptions> {
  const settings = {
    numNegatives: options.numNegatives ?? 50,
    positiveWindow: options.positiveWindow ?? 5,
    windowRule: options.windowRule ?? 'readme',
    variant: options.variant ?? 'all',
    excludeSpecial: options.excludeSpecial ?? false,
  };
  requireWhole('the number of negatives', settings.numNegatives, 1);
  requireWhole('the positive window', settings.positiveWindow, 2);
  if (settings.windowRule === 'centered' && settings.positiveWindow % 2 === 0) {
    throw new TacoError(
      `the positive window is ${settings.positiveWindow}, the centered rule expects an odd one; use ${settings.positiveWindow + 1} or the readme rule`,
      { code: 'bad-config', stage: 'batches' },
    );
  }
  return settings;
}

/** @throws TacoError `bad-config` naming the option, its value and what is allowed */
export function resolveSampling(options: SamplingOptions): SamplingSettings {
  requireWhole('the batch size', options.batchSize, 1);
  requireWhole('the seed', options.seed, 0);
  const mlmProbability = options.mlmProbability ?? 0.15;
  if (!(mlmProbability > 0 && mlmProbability <= 1)) {
    throw new TacoError(`the MLM probability is ${mlmProbability}, expected above 0 and at most 1`, {
      code: 'bad-config',
      stage: 'batches',
    });
  }
  if (options.taco !== undefined && options.batchSize < 2) {
    throw new TacoError(
      `the batch size is ${options.batchSize}, TACO expects at least 2: negatives come from the other rows of a micro-batch`,
      { code: 'bad-config', stage: 'batches' },
    );
  }
  const taco = options.taco === undefined ? undefined : resolvePairs(options.taco);
  return { batchSize: options.batchSize, seed: options.seed, mlmProbability, taco };
}

/** @throws TacoError `bad-config` */
export function resolvePrefetch(prefetch = 4): number {
  requireWhole('the number of batches made ahead', prefetch, 1);
  return prefetch;
}
