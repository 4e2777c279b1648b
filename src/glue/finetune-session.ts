import * as tf from '@tensorflow/tfjs-core';
import {
  createProgram,
  type FeedSpec,
  type Precision,
  type Program,
  type StepScope,
} from '../engine/index.ts';
import { classifierOutputs } from '../model/classifier.ts';
import type { BertConfig } from '../model/config.ts';
import { initialValues } from '../model/init.ts';
import { classifierSpecs, type ParameterSpec } from '../model/parameters.ts';
import { elementOf } from '../ops/arithmetic.ts';
import { softmaxCrossEntropy } from '../ops/cross-entropy.ts';
import { squaredError } from '../ops/squared-error.ts';
import { gradientsOf } from '../train/gradients.ts';
import { exportParts, importParts } from '../train/session-state.ts';
import type { NamedArray, OptimizerOptions } from '../train/session-types.ts';
import { checkRows, dropoutSeed } from '../train/step-input.ts';
import { updateFeeds, updateParameters, UpdateState } from '../train/update.ts';
import { UPDATED_KINDS, VARIABLES, variableNames, variableSpecs, variablesOf } from '../train/variables.ts';
import { type PackedShape, packedInput, packedSpecs, packRows, type PaddedBatch } from './packed-input.ts';

export interface FinetuneSessionOptions {
  readonly model: BertConfig;
  /** Classes, or 1 for a score. */
  readonly numOutputs: number;
  /** Decides the weights of the head and dropout. */
  readonly seed: number;
  readonly optimizer: OptimizerOptions;
  /** `f32` by default. */
  readonly precision?: Precision | undefined;
}

/** A batch to learn from. */
export interface LabelledBatch extends PaddedBatch {
  /** [B] classes or scores; those of rows that only fill up are not looked at. */
  readonly labels_B: Float32Array;
}

export interface FinetuneStepOptions {
  readonly learningRate: number;
  /** Updates before this one, from 0; part of dropout's seed. */
  readonly step: number;
}

export interface FinetuneStepMetrics {
  /** Mean over the examples: cross-entropy, natural logarithm, or squared error. */
  readonly loss: number;
  /** Global L2 norm of the gradient before clipping. */
  readonly gradNorm: number;
  /** True when loss or gradient were not finite and nothing was updated. */
  readonly skipped: boolean;
}

/** What the head's names begin with: made anew where a model does not have them. */
const HEAD = ['bert.pooler.', 'classifier.'];

/** A classifier on a pretrained encoder in training, on the backend in use (see engine/backend.ts). */
export class FinetuneSession {
  readonly #options: FinetuneSessionOptions;
  readonly #specs: readonly ParameterSpec[];
  readonly #program: Program;
  readonly #state: UpdateState;

  /**
   * @param pretrained parameters under transformers' names. A head that is not among them is drawn from the seed
   * @param program without variables; that of the backend and the precision by default
   * @throws TacoError `mismatch` when a parameter of the encoder is missing or has another shape; `backend`,
   *   `bad-config` as `createProgram`
   */
  constructor(
    options: FinetuneSessionOptions,
    pretrained: ReadonlyMap<string, NamedArray>,
    program: Program = createProgram(options.precision),
  ) {
    const { model, numOutputs, optimizer, precision, seed } = options;
    this.#options = options;
    this.#specs = classifierSpecs(model, numOutputs);
    this.#state = new UpdateState(optimizer, precision);
    this.#program = program;
    for (const kind of UPDATED_KINDS) program.declare(variableSpecs(this.#specs, kind));
    this.#write((spec) => {
      const isFresh = spec.parts.some(
        ({ name }) => HEAD.some((prefix) => name.startsWith(prefix)) && !pretrained.has(name),
      );
      return isFresh ? initialValues(spec, model, seed) : importParts(pretrained, '', spec);
    });
  }

  /**
   * One update from the mean of the examples' losses: forward, backward, clipping by the global norm, AdamW.
   * @throws TacoError `mismatch` when the model cannot take the rows; RangeError for a label that is no class
   */
  trainStep(batch: LabelledBatch, { learningRate, step }: FinetuneStepOptions): FinetuneStepMetrics {
    const { model, numOutputs, seed } = this.#options;
    checkRows(batch.ids_N, batch.length, model);
    const { shape, values } = packRows(batch);
    const weights = new Float32Array(shape.batchSize).fill(1 / batch.numExamples, 0, batch.numExamples);
    const outputs = this.#train(shape)({
      ...values,
      ...this.#state.feeds(learningRate),
      labels: labelsOf(batch, numOutputs),
      weights,
      seed: dropoutSeed({ seed, step, microBatch: 0 }),
    });
    const skipped = outputs.applied![0] !== 1;
    this.#state.count(skipped);
    return { loss: outputs.losses![0]!, gradNorm: outputs.norm![0]!, skipped };
  }

  /**
   * Outputs for the examples of a batch, without dropout.
   * @returns [numExamples · numOutputs] logits or scores
   * @throws TacoError `mismatch` when the model cannot take the rows
   */
  predict(batch: PaddedBatch): Float32Array {
    const { model, numOutputs } = this.#options;
    checkRows(batch.ids_N, batch.length, model);
    const { shape, values } = packRows(batch);
    const { outputs } = this.#predict(shape)(values);
    return Float32Array.from(outputs.subarray(0, batch.numExamples * numOutputs));
  }

  /** All parameters under transformers' names. */
  exportParameters(): Map<string, NamedArray> {
    const specs = new Map(this.#specs.map((spec) => [VARIABLES.parameter + spec.key, spec]));
    const state = new Map<string, NamedArray>();
    for (const [name, values] of this.#program.read([...specs.keys()])) {
      exportParts(state, '', specs.get(name)!, values);
    }
    return state;
  }

  /** Frees every tensor of the session, which is of no use afterwards. */
  dispose(): void {
    this.#program.dispose();
  }

  #write(valuesOf: (spec: ParameterSpec) => Float32Array): void {
    const specs = new Map(this.#specs.map((spec) => [VARIABLES.parameter + spec.key, spec]));
    this.#program.write([...specs.keys()], (name) => valuesOf(specs.get(name)!));
  }

  #train(shape: PackedShape) {
    const { model, numOutputs, optimizer } = this.#options;
    const isScore = numOutputs === 1;
    const labels: FeedSpec = { dtype: isScore ? 'float32' : 'int32', shape: [shape.batchSize] };
    const feedSpecs: Readonly<Record<string, FeedSpec>> = {
      ...packedSpecs(shape),
      ...updateFeeds,
      labels,
      weights: { dtype: 'float32', shape: [shape.batchSize] },
      seed: { dtype: 'int32', shape: [2] },
    };
    const step = (scope: StepScope): Readonly<Record<string, tf.Tensor>> => {
      const { feeds, variables } = scope;
      const parameters = variablesOf(this.#specs, 'parameter', variables);
      const [labels_B, weights_B] = [feeds.labels as tf.Tensor1D, feeds.weights as tf.Tensor1D];
      const { gradients, losses } = gradientsOf(parameters, feeds.share as tf.Scalar, () => {
        const outputs_BC = classifierOutputs(parameters, model, packedInput(feeds, shape));
        const loss = isScore
          ? squaredError(outputs_BC, labels_B, weights_B)
          : elementOf(softmaxCrossEntropy(outputs_BC, labels_B, weights_B), 0);
        return { loss, losses: tf.reshape<tf.Rank.R1>(loss, [1]) };
      });
      return {
        losses,
        ...updateParameters(scope, { specs: this.#specs, optimizer, gradients, loss: losses }),
      };
    };
    return this.#program.compile(step, {
      name: `train-${shape.batchSize}x${shape.rowLength}`,
      feeds: feedSpecs,
      updates: variableNames(this.#specs, UPDATED_KINDS),
    });
  }

  #predict(shape: PackedShape) {
    const { model } = this.#options;
    return this.#program.compile(
      ({ feeds, variables }: StepScope) => {
        const parameters = variablesOf(this.#specs, 'parameter', variables);
        return { outputs: classifierOutputs(parameters, model, packedInput(feeds, shape)) };
      },
      { name: `predict-${shape.batchSize}x${shape.rowLength}`, feeds: packedSpecs(shape), updates: [] },
    );
  }
}

/** Labels as the step takes them; 0 where a row only fills up. */
function labelsOf({ labels_B, numExamples }: LabelledBatch, numOutputs: number): Int32Array | Float32Array {
  const labels = labels_B.map((label, row) => (row < numExamples ? label : 0));
  if (numOutputs === 1) return labels;
  const wrong = labels.find((label) => !Number.isInteger(label) || label < 0 || label >= numOutputs);
  if (wrong !== undefined) {
    throw new RangeError(`label ${wrong}, expected a class from 0 to ${numOutputs - 1}`);
  }
  return Int32Array.from(labels);
}
