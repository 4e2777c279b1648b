import * as tf from '@tensorflow/tfjs-core';
import { type Batch, keyOf, TacoError } from '../../pipeline/index.ts';
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

export interface StepInputOptions {
  /** Factor of each masked position's loss; by default the mean over them. */
  readonly maskedWeight?: number;
  /** Undefined runs without dropout. */
  readonly dropout?: DropoutPlace;
}

/**
 * Uploads a micro-batch. A batch without masked positions gets one of weight 0, so that the operations stay the same.
 * The caller disposes the tensors (or wraps the call in `tf.tidy`).
 */
export function stepInput(batch: Batch, options: StepInputOptions): StepInput {
  const { batchSize, maxSeqLen, inputIds, attentionMask, maskedPositions, maskedLabels, pairs } = batch;
  const numMasked = maskedPositions.length;
  const weight = options.maskedWeight ?? 1 / Math.max(1, numMasked);
  const isEmpty = numMasked === 0;
  return {
    encoder: {
      batchSize,
      maxSeqLen,
      ids_N: tf.tensor1d(inputIds, 'int32'),
      attentionMask_N: attentionMask === undefined ? undefined : tf.tensor1d(attentionMask, 'int32'),
      dropoutSeed: options.dropout === undefined ? undefined : dropoutSeed(options.dropout),
    },
    targets: {
      positions_M: tf.tensor1d(isEmpty ? [0] : maskedPositions, 'int32'),
      labels_M: tf.tensor1d(isEmpty ? [0] : maskedLabels, 'int32'),
      weights_M: isEmpty ? tf.tensor1d([0]) : tf.fill([numMasked], weight),
    },
    pairs:
      pairs === undefined || pairs.anchors.length === 0
        ? undefined
        : {
            anchors_A: tf.tensor1d(pairs.anchors, 'int32'),
            positives_A: tf.tensor1d(pairs.positives, 'int32'),
            negatives_AK: tf.tensor2d(
              pairs.negatives,
              [pairs.anchors.length, pairs.negatives.length / pairs.anchors.length],
              'int32',
            ),
          },
  };
}

/** int32 [2]; 30 bits each, so that adding a site stays a positive int32. */
function dropoutSeed({ seed, step, microBatch }: DropoutPlace): tf.Tensor1D {
  const word = (index: number) => keyOf(seed, PURPOSE, step, microBatch, index) >>> 2;
  return tf.tensor1d([word(0), word(1)], 'int32');
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
