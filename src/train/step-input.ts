import type * as tf from '@tensorflow/tfjs-core';
import { type Batch, keyOf, TacoError } from '../../pipeline/index.ts';
import type { FeedSpec, FeedValues } from '../engine/index.ts';
import type { BertConfig } from '../model/config.ts';
import type { StepInput } from './step.ts';

/** Keeps dropout's draws apart from every other use of the seed. */
const PURPOSE = 0xd209;

/** What decides the dropout masks of one micro-batch. */
export interface DropoutPlace {
  readonly seed: number;
  readonly step: number;
  readonly microBatch: number;
}

export interface StepFeedOptions {
  /** Factor of each masked position's loss; by default the mean over them. */
  readonly maskedWeight?: number;
  /** Undefined runs without dropout. */
  readonly dropout?: DropoutPlace;
}

/** Sizes of a micro-batch that decide the operations of a step: one compiled step serves all batches of a layout. */
export interface BatchLayout {
  readonly batchSize: number;
  readonly maxSeqLen: number;
  readonly hasMask: boolean;
  readonly hasDropout: boolean;
  /** 0 without TC. */
  readonly numAnchors: number;
  readonly numNegatives: number;
}

/** Masked positions are filled up to a multiple of this at least. */
const MIN_POSITIONS_STEP = 8;
/** Anchors are filled up to a multiple of this share of the tokens; where every token is one there is nothing to fill. */
const ANCHOR_STEPS = 16;

/** A micro-batch as feeds of a step: everything that changes from step to step, seeds included. */
export interface StepFeeds {
  readonly layout: BatchLayout;
  readonly specs: Readonly<Record<string, FeedSpec>>;
  readonly values: Readonly<Record<string, FeedValues>>;
}

/**
 * What a step is fed of a micro-batch. Filling has weight 0; a batch without masked positions consists of it.
 * @param withPairs whether TC is computed
 */
export function stepFeeds(batch: Batch, withPairs: boolean, options: StepFeedOptions): StepFeeds {
  const { batchSize, maxSeqLen, inputIds, attentionMask, maskedPositions, maskedLabels } = batch;
  const pairs =
    withPairs && batch.pairs !== undefined && batch.pairs.anchors.length > 0 ? batch.pairs : undefined;
  const numMasked = maskedPositions.length;
  const maskedWeight = options.maskedWeight ?? 1 / Math.max(1, numMasked);
  const numTokens = batchSize * maxSeqLen;
  const maskedSize = maskedSizeOf(numMasked, numTokens);
  const anchorStep = Math.ceil(numTokens / ANCHOR_STEPS);
  const numPairs = pairs?.anchors.length ?? 0;
  const numAnchors = Math.min(numTokens, Math.ceil(numPairs / anchorStep) * anchorStep);
  const numNegatives = pairs === undefined ? 0 : pairs.negatives.length / numPairs;
  const int32 = (...shape: (number | string)[]): FeedSpec => ({ dtype: 'int32', shape });
  const float32 = (...shape: (number | string)[]): FeedSpec => ({ dtype: 'float32', shape });
  const fed: Record<string, readonly [FeedSpec, FeedValues]> = {
    ids: [int32(numTokens), inputIds],
    positions: [int32('masked'), filled(maskedPositions, maskedSize)],
    labels: [int32('masked'), filled(maskedLabels, maskedSize)],
    weights: [float32('masked'), new Float32Array(maskedSize).fill(maskedWeight, 0, numMasked)],
  };
  if (attentionMask !== undefined) fed.mask = [int32(numTokens), attentionMask];
  if (options.dropout !== undefined) fed.seed = [int32(2), dropoutSeed(options.dropout)];
  if (pairs !== undefined) {
    fed.anchors = [int32(numAnchors), filled(pairs.anchors, numAnchors)];
    fed.positives = [int32(numAnchors), filled(pairs.positives, numAnchors)];
    fed.negatives = [int32(numAnchors, numNegatives), filled(pairs.negatives, numAnchors * numNegatives)];
    fed.anchorWeights = [float32(numAnchors), new Float32Array(numAnchors).fill(1 / numPairs, 0, numPairs)];
  }
  return {
    layout: {
      batchSize,
      maxSeqLen,
      hasMask: attentionMask !== undefined,
      hasDropout: options.dropout !== undefined,
      numAnchors,
      numNegatives,
    },
    specs: Object.fromEntries(Object.entries(fed).map(([name, [spec]]) => [name, spec])),
    values: Object.fromEntries(Object.entries(fed).map(([name, [, values]]) => [name, values])),
  };
}

/**
 * Masked positions with filling. Matrix products are prepared for each size anew, and XLA compiles for each one, so sizes
 * are multiples of a number near the deviation of a binomial distribution of share 0.15 (√N / 2.8): some five to seven
 * occur, and half a step is filling on average, 0.3 to 0.5 % of a step of BERT-small.
 */
function maskedSizeOf(numMasked: number, numTokens: number): number {
  const deviation = Math.sqrt(0.15 * 0.85 * numTokens);
  const step = Math.max(MIN_POSITIONS_STEP, 2 ** Math.floor(Math.log2(deviation)));
  return Math.max(1, Math.ceil(numMasked / step)) * step;
}

/** A short name of a layout, different for different ones. */
export function layoutName(layout: BatchLayout): string {
  const { batchSize, maxSeqLen, hasMask, hasDropout, numAnchors, numNegatives } = layout;
  const parts = [`${batchSize}x${maxSeqLen}`];
  if (hasMask) parts.push('mask');
  if (hasDropout) parts.push('dropout');
  if (numAnchors > 0) parts.push(`${numAnchors}x${numNegatives}`);
  return parts.join('-');
}

/** The input of a step from its feeds. */
export function stepInput(
  feeds: Readonly<Record<string, tf.Tensor | undefined>>,
  { batchSize, maxSeqLen, numAnchors }: BatchLayout,
): StepInput {
  const vector = (name: string) => feeds[name] as tf.Tensor1D;
  return {
    encoder: {
      batchSize,
      maxSeqLen,
      ids_N: vector('ids'),
      attentionMask_N: feeds.mask as tf.Tensor1D | undefined,
      dropoutSeed: feeds.seed as tf.Tensor1D | undefined,
    },
    targets: { positions_M: vector('positions'), labels_M: vector('labels'), weights_M: vector('weights') },
    pairs:
      numAnchors === 0
        ? undefined
        : {
            anchors_A: vector('anchors'),
            positives_A: vector('positives'),
            negatives_AK: feeds.negatives as tf.Tensor2D,
            weights_A: vector('anchorWeights'),
          },
  };
}

/** The values with zeros behind them. */
function filled(values: Int32Array, length: number): Int32Array {
  if (values.length === length) return values;
  const longer = new Int32Array(length);
  longer.set(values);
  return longer;
}

/** int32 [2] as `DropoutSource` wants it; 30 bits each, so that adding a site stays a positive int32. */
export function dropoutSeed({ seed, step, microBatch }: DropoutPlace): Int32Array {
  const word = (index: number) => keyOf(seed, PURPOSE, step, microBatch, index) >>> 2;
  return Int32Array.of(word(0), word(1));
}

/**
 * @throws TacoError `mismatch` when the model cannot take the batch: rows too long, ids outside the vocabulary, or no
 *   pairs where TC needs them
 */
export function checkBatch(batch: Batch, config: BertConfig, mode: 'mlm' | 'taco'): void {
  checkRows(batch.inputIds, batch.maxSeqLen, config);
  if (mode === 'taco' && batch.pairs === undefined) {
    throw new TacoError(
      'got a batch without contrastive pairs, expected pairs: batches of mode taco have them',
      {
        code: 'mismatch',
        stage: 'train',
      },
    );
  }
}

/** @throws TacoError `mismatch` when rows are too long or ids are outside the vocabulary */
export function checkRows(inputIds: Int32Array, maxSeqLen: number, config: BertConfig): void {
  if (maxSeqLen > config.maxPositions) {
    throw new TacoError(
      `rows are ${maxSeqLen} tokens long, the model has positions for ${config.maxPositions}: prepare data with --max-seq-len ${config.maxPositions} or less, or take a larger max_position_embeddings`,
      { code: 'mismatch', stage: 'train' },
    );
  }
  const outside = inputIds.find((id) => id < 0 || id >= config.vocabSize);
  if (outside !== undefined) {
    throw new TacoError(
      `token id ${outside} is outside the model's vocabulary of ${config.vocabSize} words: model and data set need the same tokenizer`,
      { code: 'mismatch', stage: 'train' },
    );
  }
}
