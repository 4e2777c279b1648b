import type { Batch } from '../../pipeline/index.ts';
import { createProgram, type Program } from '../engine/index.ts';
import { initialValues } from '../model/init.ts';
import { type ParameterSpec, parameterSpecs } from '../model/parameters.ts';
import { entryOf, exportParts, importParts } from './session-state.ts';
import {
  type EvaluationSums,
  type ImportOptions,
  type NamedArray,
  OPTIMIZER_STATE,
  type SessionOptions,
  type StepMetrics,
  type TrainStepOptions,
} from './session-types.ts';
import { checkBatch, stepFeeds } from './step-input.ts';
import { type LossValues, lossValues, stepMetrics } from './step-metrics.ts';
import { Steps, turnOf } from './steps.ts';
import { UpdateState } from './update.ts';
import { VARIABLES, type VariableKind, variableSpecs } from './variables.ts';

export type * from './session-types.ts';
export { OPTIMIZER_STATE } from './session-types.ts';

/** What a checkpoint holds of each parameter, and the prefix of its names there. */
const stateKinds = [
  ['parameter', ''],
  ['firstMoment', OPTIMIZER_STATE.firstMoment],
  ['secondMoment', OPTIMIZER_STATE.secondMoment],
] as const satisfies readonly (readonly [VariableKind, string])[];

/**
 * A model in training on the backend in use (see engine/backend.ts): parameters, optimiser and the steps.
 * Everything that a step computes follows from the parameters, the batches, the seed and the options.
 */
export class TrainingSession {
  readonly #options: SessionOptions;
  readonly #specs: readonly ParameterSpec[];
  readonly #program: Program;
  readonly #steps: Steps;
  readonly #state: UpdateState;
  #hasSums = false;

  /**
   * Initialises the parameters from the seed.
   * @param program without variables; that of the backend and the precision by default
   * @throws TacoError `backend` when the backend was not opened by openBackend (engine/backend.ts), `bad-config` when it
   *   does not compute in the precision
   */
  constructor(options: SessionOptions, program: Program = createProgram(options.precision)) {
    this.#options = options;
    this.#specs = parameterSpecs(options.model);
    this.#program = program;
    this.#steps = new Steps(program, options, this.#specs);
    this.#state = new UpdateState(options.optimizer, options.precision);
    for (const [kind] of stateKinds) this.#program.declare(variableSpecs(this.#specs, kind));
    this.#write('parameter', (spec) => initialValues(spec, options.model, options.seed));
  }

  /**
   * One update of the parameters from the mean of the micro-batches' mean losses: forward, backward, clipping by the
   * global norm, AdamW. When loss or gradient are not finite nothing is updated and `skipped` is true.
   * @param microBatches at least one
   * @throws TacoError `mismatch` when the model cannot take a batch
   */
  trainStep(microBatches: readonly Batch[], { learningRate, step }: TrainStepOptions): StepMetrics {
    const { model, objective, seed } = this.#options;
    const count = microBatches.length;
    if (count === 0) throw new RangeError('got no micro-batch, expected at least one');
    for (const batch of microBatches) checkBatch(batch, model, objective.mode);
    if (count > 1) this.#declareSums();
    const updateFeeds = this.#state.feeds(learningRate, count);
    const losses: LossValues[] = [];
    let update = { gradNorm: Number.NaN, skipped: true };
    for (const [microBatch, batch] of microBatches.entries()) {
      const feeds = stepFeeds(batch, objective.mode === 'taco', { dropout: { seed, step, microBatch } });
      const outputs = this.#steps.train(
        turnOf(microBatch, count),
        feeds,
      )({
        ...feeds.values,
        ...updateFeeds,
        earlierLoss: Float32Array.of(losses.reduce((sum, { total }) => sum + total, 0)),
      });
      losses.push(lossValues(outputs.losses!));
      update = { gradNorm: outputs.norm?.[0] ?? Number.NaN, skipped: outputs.applied?.[0] !== 1 };
    }
    this.#state.count(update.skipped);
    return stepMetrics(microBatches, losses, update, objective.mode);
  }

  /**
   * Losses of one batch without dropout and without an update.
   * @throws TacoError `mismatch` when the model cannot take the batch
   */
  evaluate(batch: Batch): EvaluationSums {
    const { model, objective } = this.#options;
    checkBatch(batch, model, objective.mode);
    const isTaco = objective.mode === 'taco';
    const feeds = stepFeeds(batch, isTaco, { maskedWeight: 1 });
    const losses = lossValues(this.#steps.evaluate(feeds)(feeds.values).losses);
    const numAnchors = isTaco ? (batch.pairs?.anchors.length ?? 0) : 0;
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
   * All parameters under transformers' names and layouts, Adam's moments under the same names with the prefixes of
   * `OPTIMIZER_STATE`, and the number of updates. The tied output projection is not repeated.
   */
  exportState(): Map<string, NamedArray> {
    const state = new Map<string, NamedArray>();
    for (const [kind, prefix] of stateKinds) {
      const specs = new Map(this.#specs.map((spec) => [VARIABLES[kind] + spec.key, spec]));
      for (const [name, values] of this.#program.read([...specs.keys()])) {
        exportParts(state, prefix, specs.get(name)!, values);
      }
    }
    state.set(OPTIMIZER_STATE.step, { shape: [], values: Float32Array.of(this.#state.numUpdates) });
    if (this.#options.precision === 'fp16') {
      const { scale, numGood } = this.#state.lossScale;
      state.set(OPTIMIZER_STATE.lossScale, { shape: [2], values: Float32Array.of(scale, numGood) });
    }
    return state;
  }

  /**
   * Takes parameters, and the optimiser's state or a fresh one. Names that the model does not have are left alone, so
   * that checkpoints of `BertForPreTraining` load too.
   * @throws TacoError `mismatch` when a name is missing or has another shape; nothing is taken then
   */
  importState(state: ReadonlyMap<string, NamedArray>, options: ImportOptions): void {
    const isRestored = options.optimizer === 'restore';
    // Twice over the parts, so that a bad state is noticed before anything is overwritten and memory stays small.
    for (const spec of this.#specs) {
      for (const [kind, prefix] of stateKinds) {
        if (isRestored || kind === 'parameter') importParts(state, prefix, spec);
      }
    }
    const numUpdates = isRestored ? entryOf(state, OPTIMIZER_STATE.step).values[0]! : 0;
    for (const [kind, prefix] of stateKinds) {
      this.#write(kind, (spec) =>
        isRestored || kind === 'parameter'
          ? importParts(state, prefix, spec)
          : new Float32Array(spec.shape.reduce((product, size) => product * size, 1)),
      );
    }
    this.#state.numUpdates = numUpdates;
    if (this.#options.precision !== 'fp16') return;
    // What was trained in another precision has none.
    const saved = isRestored ? state.get(OPTIMIZER_STATE.lossScale) : undefined;
    this.#state.lossScale =
      saved === undefined ? this.#state.initialScale : { scale: saved.values[0]!, numGood: saved.values[1]! };
  }

  /** Frees every tensor of the session, which is of no use afterwards. */
  dispose(): void {
    this.#program.dispose();
  }

  #write(kind: VariableKind, valuesOf: (spec: ParameterSpec) => Float32Array): void {
    const specs = new Map(this.#specs.map((spec) => [VARIABLES[kind] + spec.key, spec]));
    this.#program.write([...specs.keys()], (name) => valuesOf(specs.get(name)!));
  }

  #declareSums(): void {
    if (this.#hasSums) return;
    this.#program.declare(variableSpecs(this.#specs, 'gradientSum'));
    this.#hasSums = true;
  }
}
