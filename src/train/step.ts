import * as tf from '@tensorflow/tfjs-core';
import { encode, type EncoderInput } from '../model/bert.ts';
import type { BertConfig } from '../model/config.ts';
import type { ParameterMap } from '../model/parameters.ts';
import { type MaskedTargets, maskedLanguageModelLoss } from '../objectives/mlm.ts';
import { type PairTensors, tokenContrastiveLoss } from '../objectives/taco.ts';
import { add, elementOf, scaled } from '../ops/arithmetic.ts';
import { type Gradients, gradientsOf } from './gradients.ts';
import type { ObjectiveOptions } from './session-types.ts';

/** A micro-batch as tensors: everything of a step that changes from step to step, seeds included. */
export interface StepInput {
  readonly encoder: EncoderInput;
  readonly targets: MaskedTargets;
  /** Present when TC is to be computed. */
  readonly pairs?: PairTensors | undefined;
}

/** Scalars. */
export interface StepLosses {
  /** mlmLoss + tcWeight · tcLoss; the only one with a gradient. */
  readonly total: tf.Scalar;
  /** Σ weight · cross-entropy. */
  readonly mlmLoss: tf.Scalar;
  readonly mlmCorrect: tf.Scalar;
  /** Σ weight · loss of the anchors; 0 without pairs. */
  readonly tcLoss: tf.Scalar;
  readonly tcCorrect: tf.Scalar;
}

/**
 * Forward pass and losses of one micro-batch: L = L_MLM + weight · L_TC on one pass through the encoder.
 * Sizes alone decide the operations, so the call can be traced into a static graph.
 */
export function stepLosses(
  parameters: ParameterMap,
  config: BertConfig,
  objective: ObjectiveOptions,
  { encoder, targets, pairs }: StepInput,
): StepLosses {
  const { hidden_NH, embedded_NH } = encode(parameters, config, encoder);
  const mlm_2 = maskedLanguageModelLoss(parameters, config, hidden_NH, targets);
  const mlmLoss = elementOf(mlm_2, 0);
  const mlmCorrect = elementOf(mlm_2, 1);
  if (objective.mode === 'mlm' || pairs === undefined) {
    return { total: mlmLoss, mlmLoss, mlmCorrect, tcLoss: tf.scalar(0), tcCorrect: tf.scalar(0) };
  }
  const { temperature, tcWeight } = objective;
  const tc = tokenContrastiveLoss(hidden_NH, embedded_NH, pairs, { temperature });
  const total = add(mlmLoss, scaled(tc.loss, tcWeight));
  return { total, mlmLoss, mlmCorrect, tcLoss: tc.loss, tcCorrect: tc.numCorrect };
}

/** Names of the losses where they lie side by side, to be read back at once. */
export const LOSS_NAMES = ['total', 'mlmLoss', 'mlmCorrect', 'tcLoss', 'tcCorrect'] as const;

/** The losses side by side: [5] in the order of `LOSS_NAMES`. */
export function stackLosses(losses: StepLosses): tf.Tensor1D {
  return tf.stack(LOSS_NAMES.map((name) => losses[name])) as tf.Tensor1D;
}

/**
 * `stepLosses` and the gradient of `share` times its total; losses [5] in the order of `LOSS_NAMES`.
 * @param share 1 over the number of micro-batches whose gradients are added up, a scalar
 */
export function stepGradients(
  parameters: ParameterMap,
  config: BertConfig,
  objective: ObjectiveOptions,
  input: StepInput,
  share: tf.Scalar,
): Gradients {
  return gradientsOf(parameters, share, () => {
    const losses = stepLosses(parameters, config, objective, input);
    return { loss: losses.total, losses: stackLosses(losses) };
  });
}
