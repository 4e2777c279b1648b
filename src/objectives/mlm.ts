import type * as tf from '@tensorflow/tfjs-core';
import { maskedHead, parameter } from '../model/bert.ts';
import type { BertConfig } from '../model/config.ts';
import { KEYS, type ParameterMap } from '../model/parameters.ts';
import { tiedCrossEntropy, tiedLogits } from '../ops/cross-entropy.ts';

/** What MLM is to predict, M ≥ 1. */
export interface MaskedTargets {
  /** int32 [M] rows of the encoder's output. */
  readonly positions_M: tf.Tensor1D;
  /** int32 [M] original ids there. */
  readonly labels_M: tf.Tensor1D;
  /** [M] factor of each position's loss: 1 / number of positions for their mean, 0 for filling. */
  readonly weights_M: tf.Tensor1D;
}

/**
 * The masked-language-model loss (Devlin et al. 2019) on the masked positions alone; the output projection is the
 * word embedding.
 * @param hidden_NH [N, H] output of the encoder
 * @returns [2] Σ weight · cross-entropy (natural logarithm), and the number of positions predicted right
 */
export function maskedLanguageModelLoss(
  parameters: ParameterMap,
  config: BertConfig,
  hidden_NH: tf.Tensor2D,
  { positions_M, labels_M, weights_M }: MaskedTargets,
): tf.Tensor1D {
  return tiedCrossEntropy(
    maskedHead(parameters, config, hidden_NH, positions_M),
    parameter(parameters, KEYS.words),
    parameter(parameters, KEYS.headBias),
    labels_M,
    weights_M,
  );
}

/**
 * Scores of every word at chosen positions.
 * @param positions_M int32 [M] rows of `hidden_NH`
 * @returns [M, V]
 */
export function maskedLogits(
  parameters: ParameterMap,
  config: BertConfig,
  hidden_NH: tf.Tensor2D,
  positions_M: tf.Tensor1D,
): tf.Tensor {
  return tiedLogits(
    maskedHead(parameters, config, hidden_NH, positions_M),
    parameter(parameters, KEYS.words),
    parameter(parameters, KEYS.headBias),
  );
}
