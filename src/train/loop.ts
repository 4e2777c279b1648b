import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  bufferCount,
  catchError,
  concat,
  concatMap,
  defer,
  EMPTY,
  filter,
  from,
  fromEvent,
  type Observable,
  of,
  Subject,
  take,
  takeUntil,
} from 'rxjs';
import { type Batch, type BatchCursor, TacoError } from '../../pipeline/index.ts';
import { learningRateAt } from '../optim/schedule.ts';
import { advance, type RunProgress } from './checkpoint-state.ts';
import type { Evaluation } from './evaluate.ts';
import type { StepMetrics, TrainStepOptions } from './session-types.ts';
import type { TrainConfig } from './settings.ts';

/** So many updates without a finite loss in a row stop the run. */
export const MAX_SKIPPED_IN_A_ROW = 10;

export interface UpdateEvent {
  readonly kind: 'update';
  /** After the update. */
  readonly progress: RunProgress;
  readonly learningRate: number;
  readonly metrics: StepMetrics;
  /** Time of the update itself. */
  readonly stepMs: number;
  /** Time between the end of the work before and this update's start: what the data made it wait. */
  readonly waitMs: number;
}

/** An evaluation begins, which may take minutes. */
export interface EvaluatingEvent {
  readonly kind: 'evaluating';
  readonly progress: RunProgress;
}

export interface EvaluationEvent {
  readonly kind: 'evaluation';
  readonly progress: RunProgress;
  readonly evaluation: Evaluation;
  readonly durationMs: number;
}

export interface CheckpointEvent {
  readonly kind: 'checkpoint';
  readonly progress: RunProgress;
  readonly path: string;
  /** For so long nothing was trained. */
  readonly durationMs: number;
}

/** A checkpoint that the disk did not take. The run goes on; the older ones are as they were. */
export interface CheckpointFailedEvent {
  readonly kind: 'checkpoint-failed';
  readonly progress: RunProgress;
  readonly error: TacoError;
}

export type LoopEvent =
  | UpdateEvent
  | EvaluatingEvent
  | EvaluationEvent
  | CheckpointEvent
  | CheckpointFailedEvent;

export interface LoopOptions {
  readonly config: Pick<
    TrainConfig,
    'maxSteps' | 'gradAccum' | 'lr' | 'warmupSteps' | 'saveSteps' | 'evalSteps'
  >;
  /** Where to go on. */
  readonly start: RunProgress;
  readonly session: { trainStep(microBatches: readonly Batch[], options: TrainStepOptions): StepMetrics };
  /** The endless stream of micro-batches after a cursor; credits say how many were consumed. */
  readonly batches: (cursor: BatchCursor | undefined, credits$: Observable<number>) => Observable<Batch>;
  /** Undefined without a validation split. Resolves to undefined when it was interrupted. */
  readonly evaluate: (() => Promise<Evaluation | undefined>) | undefined;
  /** Keeps an event before the run goes on: the metrics. */
  readonly record: (event: UpdateEvent | EvaluationEvent) => Promise<void>;
  /** Makes the state last. @returns where it lies @throws TacoError `disk`: tried again when the next one is due */
  readonly save: (progress: RunProgress) => Promise<string>;
  /** When aborted, the step under way is finished, a checkpoint is written, and the loop completes. */
  readonly signal: AbortSignal;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/**
 * The run: micro-batches are gathered into updates, one after another, each followed by what is due at its step
 * (evaluation, then checkpoint). Nothing of the next update begins before that is done. Ends with a checkpoint
 * of the last state, also when interrupted or when the data fails. A checkpoint on the way that the disk does not take
 * is reported and does not end the run.
 *
 * @throws (error notification) TacoError `diverged` after `MAX_SKIPPED_IN_A_ROW` updates without a finite loss, `disk`
 *   when the last state could not be saved; whatever `batches`, `record` and `save` fail with
 */
export function trainingLoop(options: LoopOptions): Observable<LoopEvent> {
  return defer(() => new Loop(options).events());
}

class Loop {
  readonly #options: LoopOptions;
  readonly #now: () => number;
  readonly #credits$ = new Subject<number>();
  #progress: RunProgress;
  /** State of the last checkpoint, or the one that the loop began with. */
  #saved: RunProgress;
  #idleSince: number;
  #dataFailure: { readonly error: unknown } | undefined;

  constructor(options: LoopOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#progress = options.start;
    this.#saved = options.start;
    this.#idleSince = this.#now();
  }

  events(): Observable<LoopEvent> {
    const begin = defer(() => from(this.#evaluateIfDue()));
    const updates = defer(() => this.#updates());
    const end = defer(() => from(this.#finish()));
    return concat(begin, updates, end);
  }

  #updates(): Observable<LoopEvent> {
    const { batches, config, signal } = this.#options;
    const remaining = config.maxSteps - this.#progress.step;
    if (remaining <= 0 || signal.aborted) return EMPTY;
    this.#idleSince = this.#now();
    const microBatches$ = batches(this.#progress.cursor ?? undefined, this.#credits$).pipe(
      catchError((error: unknown) => {
        this.#dataFailure = { error };
        return EMPTY;
      }),
      takeUntil(abortOf(signal)),
    );
    return microBatches$.pipe(
      bufferCount(config.gradAccum),
      // What the end of the stream cuts off is not a whole update.
      filter((microBatches) => microBatches.length === config.gradAccum),
      take(remaining),
      concatMap((microBatches) => (signal.aborted ? EMPTY : from(this.#update(microBatches)))),
    );
  }

  async *#update(microBatches: readonly Batch[]): AsyncGenerator<LoopEvent> {
    const { config, record, session, signal } = this.#options;
    // The step blocks the thread: signals and batches from the worker arrive in the turns between steps.
    await nextTurn();
    if (signal.aborted) return;
    this.#credits$.next(microBatches.length);

    const { step } = this.#progress;
    const learningRate = learningRateAt(step, {
      peak: config.lr,
      warmupSteps: config.warmupSteps,
      maxSteps: config.maxSteps,
    });
    const startedAt = this.#now();
    const metrics = session.trainStep(microBatches, { learningRate, step });
    const endedAt = this.#now();
    this.#progress = advance(this.#progress, {
      cursor: microBatches.at(-1)!.cursor,
      numTokens: metrics.numTokens,
      skipped: metrics.skipped,
    });
    const event: UpdateEvent = {
      kind: 'update',
      progress: this.#progress,
      learningRate,
      metrics,
      stepMs: endedAt - startedAt,
      waitMs: startedAt - this.#idleSince,
    };
    await record(event);
    yield event;
    this.#stopIfDiverged();
    yield* this.#evaluateIfDue();
    if (config.saveSteps > 0 && this.#progress.step % config.saveSteps === 0) yield await this.#trySave();
    this.#idleSince = this.#now();
  }

  #stopIfDiverged(): void {
    const { step, numSkippedInARow } = this.#progress;
    if (numSkippedInARow < MAX_SKIPPED_IN_A_ROW) return;
    throw new TacoError(
      `the loss was not finite in ${numSkippedInARow} updates in a row (steps ${step - numSkippedInARow + 1} to ${step}), the run is stopped; ${this.#lastSaved()}; go on with --override and a lower --lr or a longer --warmup-steps, or begin anew with a higher --tau`,
      { code: 'diverged', stage: 'train' },
    );
  }

  /** Evaluates at the steps that are multiples of `evalSteps`, and at the last; never twice at one step. */
  async *#evaluateIfDue(): AsyncGenerator<EvaluatingEvent | EvaluationEvent> {
    const { config, evaluate, record, signal } = this.#options;
    const { step, evaluatedAtStep } = this.#progress;
    const due = config.evalSteps > 0 && (step % config.evalSteps === 0 || step === config.maxSteps);
    if (evaluate === undefined || !due || evaluatedAtStep === step || signal.aborted) return;
    yield { kind: 'evaluating', progress: this.#progress };
    const startedAt = this.#now();
    const evaluation = await evaluate();
    if (evaluation === undefined) return;
    this.#progress = { ...this.#progress, evaluatedAtStep: step };
    const durationMs = this.#now() - startedAt;
    const event: EvaluationEvent = { kind: 'evaluation', progress: this.#progress, evaluation, durationMs };
    await record(event);
    yield event;
  }

  #lastSaved(): string {
    return this.#saved.step === 0
      ? 'no checkpoint was written yet'
      : `the last checkpoint is of step ${this.#saved.step}`;
  }

  async *#finish(): AsyncGenerator<CheckpointEvent> {
    if (this.#progress !== this.#saved) yield await this.#saveLast();
    if (this.#dataFailure !== undefined) throw this.#dataFailure.error;
  }

  /** The next checkpoint makes up for one that failed. */
  async #trySave(): Promise<CheckpointEvent | CheckpointFailedEvent> {
    try {
      return await this.#save();
    } catch (error) {
      if (!isDiskError(error)) throw error;
      return { kind: 'checkpoint-failed', progress: this.#progress, error };
    }
  }

  async #saveLast(): Promise<CheckpointEvent> {
    try {
      return await this.#save();
    } catch (error) {
      if (!isDiskError(error)) throw error;
      throw new TacoError(
        `${error.message}; step ${this.#progress.step} is not saved, ${this.#lastSaved()}; make room and run the same command again, it goes on from there`,
        { code: 'disk', stage: 'train', cause: error },
      );
    }
  }

  async #save(): Promise<CheckpointEvent> {
    const progress = this.#progress;
    const startedAt = this.#now();
    const path = await this.#options.save(progress);
    this.#saved = progress;
    return { kind: 'checkpoint', progress, path, durationMs: this.#now() - startedAt };
  }
}

function isDiskError(error: unknown): error is TacoError {
  return error instanceof TacoError && error.code === 'disk';
}

/** Emits once when the signal is aborted, also when it was before. */
function abortOf(signal: AbortSignal): Observable<unknown> {
  return signal.aborted ? of(undefined) : fromEvent(signal, 'abort').pipe(take(1));
}
