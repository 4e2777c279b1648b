import type { Precision } from '../engine/index.ts';
import type { BertConfig } from '../model/config.ts';

/** What is trained, and with which fixed numbers. */
export interface SessionOptions {
  readonly model: BertConfig;
  /** Decides initial weights and dropout; together with the step it decides every random number of a step. */
  readonly seed: number;
  readonly objective: ObjectiveOptions;
  readonly optimizer: OptimizerOptions;
  /** Type of matrix products; `f32` by default. Whatever is exported stays float32. */
  readonly precision?: Precision | undefined;
}

export type ObjectiveOptions =
  | { readonly mode: 'mlm' }
  | {
      readonly mode: 'taco';
      /** τ of the token-level contrastive loss, above 0. */
      readonly temperature: number;
      /** Weight of that loss beside the MLM loss. */
      readonly tcWeight: number;
    };

export interface OptimizerOptions {
  /** Decoupled decay, on everything but biases and LayerNorm. */
  readonly weightDecay: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Gradients are scaled down to this global L2 norm where they exceed it. */
  readonly maxGradNorm: number;
}

export interface TrainStepOptions {
  /** Learning rate of this update. */
  readonly learningRate: number;
  /** Index of this step since the beginning of training, from 0; part of the dropout seeds. */
  readonly step: number;
}

/** Means over the micro-batches of one step. */
export interface StepMetrics {
  /** MLM loss + weight · TC loss, natural logarithms. */
  readonly loss: number;
  readonly mlmLoss: number;
  /** Share of masked positions whose most probable word is the original one, in [0, 1]. */
  readonly mlmAccuracy: number;
  /** TACO only. */
  readonly tcLoss?: number;
  /** TACO only: share of anchors whose positive is nearer than each of its negatives, in [0, 1]. */
  readonly tcAccuracy?: number;
  /** Global L2 norm of the gradient before clipping. */
  readonly gradNorm: number;
  /** True when loss or gradient were not finite: parameters and moments are as before the step. */
  readonly skipped: boolean;
  /** Tokens that went through the encoder, without padding. */
  readonly numTokens: number;
}

/** Sums over one evaluation batch, to be added up over batches before dividing. */
export interface EvaluationSums {
  readonly mlmLossSum: number;
  readonly mlmCorrect: number;
  readonly numMasked: number;
  /** 0 when the session trains MLM alone. */
  readonly tcLossSum: number;
  readonly tcCorrect: number;
  readonly numAnchors: number;
}

/** A parameter or optimiser moment as it is written to files. */
export interface NamedArray {
  readonly shape: readonly number[];
  /** Row-major, product of `shape` elements. */
  readonly values: Float32Array<ArrayBuffer>;
}

/** Whether `importState` takes the optimiser's moments and step count too, or starts them at zero. */
export interface ImportOptions {
  readonly optimizer: 'restore' | 'reset';
}

/**
 * Prefixes of optimiser state among the names of `exportState`, before a parameter's name, and the number of
 * updates made so far (a scalar).
 */
export const OPTIMIZER_STATE = {
  firstMoment: 'optimizer.exp_avg.',
  secondMoment: 'optimizer.exp_avg_sq.',
  step: 'optimizer.step',
  /** [2], in fp16 alone: the loss scale, and the good updates since it changed. */
  lossScale: 'optimizer.loss_scale',
} as const;
