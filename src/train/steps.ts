import * as tf from '@tensorflow/tfjs-core';
import type { Program, StepScope } from '../engine/index.ts';
import type { ParameterMap, ParameterSpec } from '../model/parameters.ts';
import type { SessionOptions } from './session-types.ts';
import { stackLosses, stepGradients, stepLosses } from './step.ts';
import { type BatchLayout, layoutName, type StepFeeds, stepInput } from './step-input.ts';
import { updateFeeds, updateParameters } from './update.ts';
import { UPDATED_KINDS, type VariableKind, variableNames, variablesOf } from './variables.ts';

/**
 * A micro-batch's place in its update: `only` and `last` update the parameters, `first` and `middle` add gradients up
 * in variables.
 */
export type Turn = 'only' | 'first' | 'middle' | 'last';

export function turnOf(index: number, count: number): Turn {
  if (count === 1) return 'only';
  if (index === 0) return 'first';
  return index === count - 1 ? 'last' : 'middle';
}

/** Feeds of a training step besides the batch. */
const trainFeeds = {
  ...updateFeeds,
  /** Sum of the losses of the micro-batches before: not finite if one of them was not. */
  earlierLoss: { dtype: 'float32', shape: [] },
} as const;
const accumulateFeeds = { share: updateFeeds.share } as const;

/** The steps of a model in training, compiled for a layout of batches when they are first wanted. */
export class Steps {
  readonly #program: Program;
  readonly #options: SessionOptions;
  readonly #specs: readonly ParameterSpec[];

  constructor(program: Program, options: SessionOptions, specs: readonly ParameterSpec[]) {
    this.#program = program;
    this.#options = options;
    this.#specs = specs;
  }

  /**
   * Forward and backward pass of a micro-batch; in an update's last one also clipping and AdamW.
   * Outputs `losses` [5] in the order of `LOSS_NAMES`; of the last also `norm`, the gradient's before clipping, and
   * `applied`, 0 when loss or gradient were not finite and nothing was updated.
   */
  train(turn: Turn, { layout, specs }: StepFeeds) {
    const isLast = turn === 'only' || turn === 'last';
    return this.#program.compile(
      (scope: StepScope) =>
        isLast ? this.#update(turn, layout, scope) : this.#accumulate(turn, layout, scope),
      {
        name: `train-${turn}-${layoutName(layout)}`,
        feeds: { ...specs, ...(isLast ? trainFeeds : accumulateFeeds) },
        updates: variableNames(this.#specs, isLast ? UPDATED_KINDS : ['gradientSum']),
      },
    );
  }

  /** Losses without dropout: `losses` [5]. */
  evaluate({ layout, specs }: StepFeeds) {
    const { model, objective } = this.#options;
    return this.#program.compile(
      ({ feeds, variables }: StepScope) => ({
        losses: stackLosses(
          stepLosses(this.#of('parameter', variables), model, objective, stepInput(feeds, layout)),
        ),
      }),
      { name: `evaluate-${layoutName(layout)}`, feeds: specs, updates: [] },
    );
  }

  /** Variables of a kind by the parameters' keys. */
  #of(kind: VariableKind, variables: ReadonlyMap<string, tf.Variable>): ParameterMap {
    return variablesOf(this.#specs, kind, variables);
  }

  #gradients(layout: BatchLayout, { feeds, variables }: StepScope) {
    const { model, objective } = this.#options;
    const share = feeds.share as tf.Scalar;
    const input = stepInput(feeds, layout);
    return stepGradients(this.#of('parameter', variables), model, objective, input, share);
  }

  #accumulate(turn: Turn, layout: BatchLayout, scope: StepScope): Readonly<Record<string, tf.Tensor>> {
    const { gradients, losses } = this.#gradients(layout, scope);
    for (const [key, sum] of this.#of('gradientSum', scope.variables)) {
      const gradient = gradients.get(key)!;
      sum.assign(turn === 'first' ? gradient : tf.add(sum, gradient));
    }
    return { losses };
  }

  #update(turn: Turn, layout: BatchLayout, scope: StepScope): Readonly<Record<string, tf.Tensor>> {
    const { optimizer } = this.#options;
    const own = this.#gradients(layout, scope);
    const sums = turn === 'only' ? undefined : this.#of('gradientSum', scope.variables);
    const gradients = new Map(
      Array.from(own.gradients, ([key, gradient]) => {
        const sum = sums?.get(key);
        return [key, sum === undefined ? gradient : tf.add(sum, gradient)] as const;
      }),
    );
    const loss = tf.add(tf.slice(own.losses, 0, 1), scope.feeds.earlierLoss!);
    return {
      losses: own.losses,
      ...updateParameters(scope, { specs: this.#specs, optimizer, gradients, loss }),
    };
  }
}
