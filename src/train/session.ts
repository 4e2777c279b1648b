import * as tf from '@tensorflow/tfjs-core';
import { type Batch, TacoError } from '../../pipeline/index.ts';
import { encode } from '../model/bert.ts';
import { initialValues } from '../model/init.ts';
import { type ParameterSpec, parameterSpecs } from '../model/parameters.ts';
import { maskedLogits } from '../objectives/mlm.ts';
import { hasKernel, KERNELS } from '../ops/kernel.ts';
import { AdamW } from '../optim/adamw.ts';
import { clipScale, globalNorm } from '../optim/clip.ts';
import { assignValues, entryOf, exportParts, importParts } from './session-state.ts';
import {
  type EvaluationSums,
  type ImportOptions,
  type MaskedInput,
  type NamedArray,
  OPTIMIZER_STATE,
  type SessionOptions,
  type StepMetrics,
  type TrainStepOptions,
} from './session-types.ts';
import { stackLosses, stepGradients, stepLosses } from './step.ts';
import { checkBatch, checkRows, stepInput } from './step-input.ts';
import { inScope, readLosses, stepMetrics } from './step-metrics.ts';

export type * from './session-types.ts';
export { OPTIMIZER_STATE } from './session-types.ts';

/**
 * A model in training on the tfjs backend in use (see engine/backend.ts): parameters, optimiser and the step.
 * Everything that a step computes follows from the parameters, the batches, the seed and the options.
 */
export class TrainingSession {
  readonly #options: SessionOptions;
  readonly #specs: readonly ParameterSpec[];
  readonly #parameters: ReadonlyMap<string, tf.Variable>;
  readonly #optimizer: AdamW;
  /** Updates made, without skipped ones: Adam's bias correction counts them. */
  #numUpdates = 0;

  /**
   * Initialises the parameters from the seed.
   * @throws TacoError `backend` when the backend was not opened by openBackend (engine/backend.ts)
   */
  constructor(options: SessionOptions) {
    if (!hasKernel(KERNELS.dropout)) {
      throw new TacoError(
        `the tensor backend is "${tf.getBackend()}" without the kernels of training: call openBackend first`,
        { code: 'backend', stage: 'train' },
      );
    }
    const { model, seed, optimizer } = options;
    this.#options = options;
    this.#specs = parameterSpecs(model);
    this.#parameters = new Map(
      this.#specs.map((spec) => [
        spec.key,
        tf.tidy(() => tf.variable(tf.tensor(initialValues(spec, model, seed), [...spec.shape]))),
      ]),
    );
    const decaying = new Set(this.#specs.filter(({ decays }) => decays).map(({ key }) => key));
    this.#optimizer = new AdamW(this.#parameters, { ...optimizer, decays: (key) => decaying.has(key) });
  }

  /**
   * One update of the parameters from the mean of the micro-batches' mean losses: forward, backward, clipping by the
   * global norm, AdamW. When loss or gradient are not finite nothing is updated and `skipped` is true.
   * @param microBatches at least one
   * @throws TacoError `mismatch` when the model cannot take a batch
   */
  trainStep(microBatches: readonly Batch[], options: TrainStepOptions): StepMetrics {
    const { model, objective, optimizer } = this.#options;
    if (microBatches.length === 0) throw new RangeError('got no micro-batch, expected at least one');
    for (const batch of microBatches) checkBatch(batch, model, objective.mode);
    return inScope(() => {
      const { gradients, losses } = this.#accumulate(microBatches, options.step);
      const norm = globalNorm(gradients.values());
      const metrics = stepMetrics(microBatches, readLosses(losses), norm.dataSync()[0]!, objective.mode);
      if (!metrics.skipped) {
        this.#optimizer.update(gradients, {
          learningRate: options.learningRate,
          step: this.#numUpdates,
          gradientScale: clipScale(norm, optimizer.maxGradNorm),
        });
        this.#numUpdates += 1;
      }
      return metrics;
    });
  }

  /**
   * Losses of one batch without dropout and without an update.
   * @throws TacoError `mismatch` when the model cannot take the batch
   */
  evaluate(batch: Batch): EvaluationSums {
    const { model, objective } = this.#options;
    checkBatch(batch, model, objective.mode);
    const numAnchors = objective.mode === 'taco' ? (batch.pairs?.anchors.length ?? 0) : 0;
    const losses = inScope(() => {
      const input = stepInput(batch, { maskedWeight: 1 });
      return readLosses([stackLosses(stepLosses(this.#parameters, model, objective, input))])[0]!;
    });
    return {
      mlmLossSum: losses.mlmLoss,
      mlmCorrect: losses.mlmCorrect,
      numMasked: batch.maskedPositions.length,
      tcLossSum: losses.tcLoss * numAnchors,
      tcCorrect: losses.tcCorrect,
      numAnchors,
    };
  }

  /**
   * Scores of every word at chosen positions, without dropout.
   * @returns [P * V] logits, a row of the vocabulary's size for each position
   * @throws TacoError `mismatch` when the model cannot take the rows
   */
  predictMasked(input: MaskedInput): Float32Array<ArrayBuffer> {
    const { model } = this.#options;
    const { batchSize, maxSeqLen, inputIds, attentionMask, positions } = input;
    checkRows(inputIds, maxSeqLen, model);
    if (positions.length === 0) return new Float32Array();
    const logits = tf.tidy(() => {
      const { hidden_NH } = encode(this.#parameters, model, {
        batchSize,
        maxSeqLen,
        ids_N: tf.tensor1d(inputIds, 'int32'),
        attentionMask_N: attentionMask === undefined ? undefined : tf.tensor1d(attentionMask, 'int32'),
      });
      return maskedLogits(this.#parameters, model, hidden_NH, tf.tensor1d(positions, 'int32'));
    });
    const values = new Float32Array(logits.dataSync<'float32'>());
    logits.dispose();
    return values;
  }

  /**
   * All parameters under transformers' names and layouts, Adam's moments under the same names with the prefixes of
   * `OPTIMIZER_STATE`, and the number of updates. The tied output projection is not repeated.
   */
  exportState(): Map<string, NamedArray> {
    const state = new Map<string, NamedArray>();
    for (const spec of this.#specs) exportParts(state, '', spec, this.#parameters.get(spec.key)!);
    for (const spec of this.#specs) {
      const { firstMoment, secondMoment } = this.#optimizer.slots.get(spec.key)!;
      exportParts(state, OPTIMIZER_STATE.firstMoment, spec, firstMoment);
      exportParts(state, OPTIMIZER_STATE.secondMoment, spec, secondMoment);
    }
    state.set(OPTIMIZER_STATE.step, { shape: [], values: Float32Array.of(this.#numUpdates) });
    return state;
  }

  /**
   * Takes parameters, and the optimiser's state or a fresh one. Names that the model does not have are left alone, so
   * that checkpoints of `BertForPreTraining` load too.
   * @throws TacoError `mismatch` when a name is missing or has another shape; nothing is taken then
   */
  importState(state: ReadonlyMap<string, NamedArray>, options: ImportOptions): void {
    const isRestored = options.optimizer === 'restore';
    const { firstMoment: first, secondMoment: second } = OPTIMIZER_STATE;
    // Twice over the parts, so that a bad state is noticed before anything is overwritten and memory stays small.
    for (const spec of this.#specs) {
      for (const prefix of isRestored ? ['', first, second] : ['']) importParts(state, prefix, spec);
    }
    const numUpdates = isRestored ? entryOf(state, OPTIMIZER_STATE.step).values[0]! : 0;
    for (const spec of this.#specs) {
      assignValues(this.#parameters.get(spec.key)!, importParts(state, '', spec));
      const { firstMoment, secondMoment } = this.#optimizer.slots.get(spec.key)!;
      const size = firstMoment.size;
      assignValues(firstMoment, isRestored ? importParts(state, first, spec) : new Float32Array(size));
      assignValues(secondMoment, isRestored ? importParts(state, second, spec) : new Float32Array(size));
    }
    this.#numUpdates = numUpdates;
  }

  /** Frees every tensor of the session, which is of no use afterwards. */
  dispose(): void {
    this.#optimizer.dispose();
    for (const variable of this.#parameters.values()) variable.dispose();
  }

  /** Gradients of the mean loss over the micro-batches, and the losses of each. */
  #accumulate(microBatches: readonly Batch[], step: number) {
    const { model, objective, seed } = this.#options;
    const share = 1 / microBatches.length;
    const losses: tf.Tensor1D[] = [];
    const sums = new Map<string, tf.Tensor>();
    for (const [microBatch, batch] of microBatches.entries()) {
      const input = stepInput(batch, { dropout: { seed, step, microBatch } });
      const { gradients, losses_5 } = stepGradients(this.#parameters, model, objective, input, share);
      losses.push(losses_5);
      for (const [key, gradient] of gradients) {
        const sum = sums.get(key);
        sums.set(key, sum === undefined ? gradient : tf.add(sum, gradient));
        if (sum !== undefined) tf.dispose([sum, gradient]);
      }
    }
    return { gradients: sums, losses };
  }
}
