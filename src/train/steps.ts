import * as tf from '@tensorflow/tfjs-core';
import type { FeedSpec, Program, StepScope, VariableSpec } from '../engine/index.ts';
import type { ParameterSpec } from '../model/parameters.ts';
import { type AdamWState, applyAdamW } from '../optim/adamw.ts';
import { clipScale, globalNorm } from '../optim/clip.ts';
import type { SessionOptions } from './session-types.ts';
import { stackLosses, stepGradients, stepLosses } from './step.ts';
import { type BatchLayout, layoutName, type StepFeeds, stepInput } from './step-input.ts';

/** Kinds of variables that every parameter has, by the prefix of their names; sums only where gradients add up. */
export const VARIABLES = {
  parameter: 'parameter/',
  firstMoment: 'first-moment/',
  secondMoment: 'second-moment/',
  gradientSum: 'gradient-sum/',
} as const;

export type VariableKind = keyof typeof VARIABLES;

/** Variables of a kind, in the order of the parameters. */
export function variableSpecs(specs: readonly ParameterSpec[], kind: VariableKind): VariableSpec[] {
  return specs.map(({ key, shape }) => ({ name: VARIABLES[kind] + key, shape }));
}

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

const scalar: FeedSpec = { dtype: 'float32', shape: [] };
/** Feeds of a training step besides the batch. */
const trainFeeds = {
  /** Factor of the loss: 1 over the number of micro-batches, times the scale of the loss. */
  share: scalar,
  /** 1 over the scale of the loss. */
  unscale: scalar,
  /** Sum of the losses of the micro-batches before: not finite if one of them was not. */
  earlierLoss: scalar,
  stepSize: scalar,
  epsilon: scalar,
  keep: scalar,
} as const;
const accumulateFeeds = { share: scalar } as const;

export type TrainFeed = keyof typeof trainFeeds;

/** The steps of a model in training, compiled for a layout of batches when they are first wanted. */
export class Steps {
  readonly #program: Program;
  readonly #options: SessionOptions;
  readonly #specs: readonly ParameterSpec[];
  readonly #decaying: ReadonlySet<string>;

  constructor(program: Program, options: SessionOptions, specs: readonly ParameterSpec[]) {
    this.#program = program;
    this.#options = options;
    this.#specs = specs;
    this.#decaying = new Set(specs.filter(({ decays }) => decays).map(({ key }) => key));
  }

  /**
   * Forward and backward pass of a micro-batch; in an update's last one also clipping and AdamW.
   * Outputs `losses` [5] in the order of `LOSS_NAMES`; of the last also `norm`, the gradient's before clipping, and
   * `applied`, 0 when loss or gradient were not finite and nothing was updated.
   */
  train(turn: Turn, { layout, specs }: StepFeeds) {
    const isLast = turn === 'only' || turn === 'last';
    const updated: readonly VariableKind[] = isLast
      ? ['parameter', 'firstMoment', 'secondMoment']
      : ['gradientSum'];
    return this.#program.compile(
      (scope: StepScope) =>
        isLast ? this.#update(turn, layout, scope) : this.#accumulate(turn, layout, scope),
      {
        name: `train-${turn}-${layoutName(layout)}`,
        feeds: { ...specs, ...(isLast ? trainFeeds : accumulateFeeds) },
        updates: updated.flatMap((kind) => variableSpecs(this.#specs, kind).map(({ name }) => name)),
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
  #of(kind: VariableKind, variables: ReadonlyMap<string, tf.Variable>): ReadonlyMap<string, tf.Variable> {
    return new Map(this.#specs.map(({ key }) => [key, variables.get(VARIABLES[kind] + key)!]));
  }

  #gradients(layout: BatchLayout, { feeds, variables }: StepScope) {
    const { model, objective } = this.#options;
    const share = feeds.share as tf.Scalar;
    const input = stepInput(feeds, layout);
    return stepGradients(this.#of('parameter', variables), model, objective, input, share);
  }

  #accumulate(turn: Turn, layout: BatchLayout, scope: StepScope): Readonly<Record<string, tf.Tensor>> {
    const { gradients, losses_5 } = this.#gradients(layout, scope);
    for (const [key, sum] of this.#of('gradientSum', scope.variables)) {
      const gradient = gradients.get(key)!;
      sum.assign(turn === 'first' ? gradient : tf.add(sum, gradient));
    }
    return { losses: losses_5 };
  }

  #update(turn: Turn, layout: BatchLayout, scope: StepScope): Readonly<Record<string, tf.Tensor>> {
    const { optimizer } = this.#options;
    const { feeds, variables, when } = scope;
    const input = (name: TrainFeed) => feeds[name] as tf.Scalar;
    const own = this.#gradients(layout, scope);
    const sums = turn === 'only' ? undefined : this.#of('gradientSum', variables);
    const gradients = new Map(
      Array.from(own.gradients, ([key, gradient]) => {
        const sum = sums?.get(key);
        return [key, sum === undefined ? gradient : tf.add(sum, gradient)] as const;
      }),
    );
    const norm = tf.mul<tf.Scalar>(globalNorm(gradients.values()), input('unscale'));
    const losses = tf.add(tf.slice(own.losses_5, 0, 1), input('earlierLoss'));
    const isUsable = tf.reshape(tf.isFinite(tf.add(losses, norm)), []);
    when(isUsable, () => {
      const gradientScale = tf.mul<tf.Scalar>(clipScale(norm, optimizer.maxGradNorm), input('unscale'));
      const scalars = { stepSize: input('stepSize'), epsilon: input('epsilon'), keep: input('keep') };
      applyAdamW(
        this.#states(variables),
        gradients,
        { ...scalars, gradientScale },
        {
          ...optimizer,
          decays: (key) => this.#decaying.has(key),
        },
      );
    });
    return { losses: own.losses_5, norm, applied: tf.cast(isUsable, 'float32') };
  }

  #states(variables: ReadonlyMap<string, tf.Variable>): ReadonlyMap<string, AdamWState> {
    const of = (kind: VariableKind, key: string) => variables.get(VARIABLES[kind] + key)!;
    return new Map(
      this.#specs.map(({ key }) => [
        key,
        {
          parameter: of('parameter', key),
          firstMoment: of('firstMoment', key),
          secondMoment: of('secondMoment', key),
        },
      ]),
    );
  }
}
