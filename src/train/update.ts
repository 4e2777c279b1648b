import * as tf from '@tensorflow/tfjs-core';
import type { FeedSpec, Precision, StepScope } from '../engine/index.ts';
import type { ParameterSpec } from '../model/parameters.ts';
import { adamWScalars, type AdamWState, applyAdamW } from '../optim/adamw.ts';
import { clipScale, globalNorm } from '../optim/clip.ts';
import { initialLossScale, type LossScaleState, nextLossScale, unscaled } from '../optim/loss-scale.ts';
import type { OptimizerOptions } from './session-types.ts';
import { variablesOf } from './variables.ts';

const scalar: FeedSpec = { dtype: 'float32', shape: [] };
/** Feeds of every step that updates parameters. */
export const updateFeeds = {
  /** Factor of the loss: 1 over the number of micro-batches, times the scale of the loss. */
  share: scalar,
  /** 1 over the scale of the loss. */
  unscale: scalar,
  stepSize: scalar,
  epsilon: scalar,
  keep: scalar,
} as const;

export type UpdateFeed = keyof typeof updateFeeds;

export interface UpdateOptions {
  readonly specs: readonly ParameterSpec[];
  readonly optimizer: OptimizerOptions;
  /** By key, of `share` times the loss, all micro-batches together. */
  readonly gradients: ReadonlyMap<string, tf.Tensor>;
  /** Is finite if the losses of all micro-batches are; any shape of one element. */
  readonly loss: tf.Tensor;
}

/**
 * Clipping and AdamW in a step whose feeds include `updateFeeds`. Where loss or gradient are not finite nothing is
 * updated.
 * @returns scalars: the gradient's norm before clipping, and `applied`, 1 or 0
 */
export function updateParameters(
  { feeds, variables, when }: StepScope,
  { specs, optimizer, gradients, loss }: UpdateOptions,
): { readonly norm: tf.Scalar; readonly applied: tf.Scalar } {
  const input = (name: UpdateFeed) => feeds[name] as tf.Scalar;
  const norm = tf.mul<tf.Scalar>(globalNorm(gradients.values()), input('unscale'));
  const isUsable = tf.reshape<tf.Rank.R0>(tf.isFinite(tf.add(loss, norm)), []);
  const decaying = new Set(specs.filter(({ decays }) => decays).map(({ key }) => key));
  when(isUsable, () => {
    const gradientScale = tf.mul<tf.Scalar>(clipScale(norm, optimizer.maxGradNorm), input('unscale'));
    const scalars = { stepSize: input('stepSize'), epsilon: input('epsilon'), keep: input('keep') };
    applyAdamW(
      statesOf(specs, variables),
      gradients,
      { ...scalars, gradientScale },
      { ...optimizer, decays: (key) => decaying.has(key) },
    );
  });
  return { norm, applied: tf.cast(isUsable, 'float32') };
}

function statesOf(
  specs: readonly ParameterSpec[],
  variables: ReadonlyMap<string, tf.Variable>,
): ReadonlyMap<string, AdamWState> {
  const parameters = variablesOf(specs, 'parameter', variables);
  const firstMoments = variablesOf(specs, 'firstMoment', variables);
  const secondMoments = variablesOf(specs, 'secondMoment', variables);
  return new Map(
    Array.from(parameters, ([key, parameter]) => [
      key,
      { parameter, firstMoment: firstMoments.get(key)!, secondMoment: secondMoments.get(key)! },
    ]),
  );
}

/** What changes from update to update besides parameters and moments. */
export class UpdateState {
  readonly #optimizer: OptimizerOptions;
  readonly #isScaled: boolean;
  /** Updates made, without skipped ones: Adam's bias correction counts them. */
  numUpdates = 0;
  lossScale: LossScaleState;

  constructor(optimizer: OptimizerOptions, precision: Precision = 'f32') {
    this.#optimizer = optimizer;
    this.#isScaled = precision === 'fp16';
    this.lossScale = this.initialScale;
  }

  get initialScale(): LossScaleState {
    return this.#isScaled ? initialLossScale : unscaled;
  }

  /**
   * Values of `updateFeeds` for the next update.
   * @param numMicroBatches whose gradients are added up
   */
  feeds(learningRate: number, numMicroBatches = 1): Readonly<Record<UpdateFeed, Float32Array>> {
    const { scale } = this.lossScale;
    const { stepSize, epsilon, keep } = adamWScalars(learningRate, this.numUpdates, this.#optimizer);
    return {
      share: Float32Array.of(scale / numMicroBatches),
      unscale: Float32Array.of(1 / scale),
      stepSize: Float32Array.of(stepSize),
      epsilon: Float32Array.of(epsilon),
      keep: Float32Array.of(keep),
    };
  }

  /** Counts an update that was made or, where something was not finite, skipped. */
  count(skipped: boolean): void {
    if (!skipped) this.numUpdates += 1;
    if (this.#isScaled) this.lossScale = nextLossScale(this.lossScale, skipped);
  }
}
