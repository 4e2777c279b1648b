import { join } from 'node:path';
import { lastValueFrom, tap } from 'rxjs';
import {
  batches,
  ensureFolder,
  evaluationBatches,
  HUB_CACHE,
  hubFromEnvironment,
  type FolderLock,
  lockFolder,
  messageOf,
  TacoError,
  tokenizerFilesOf,
  type WaitNotice,
  writeFileAtomic,
} from '../../pipeline/index.ts';
import {
  type Backend,
  choosePrecision,
  measureMatrixPeak,
  openBackend,
  type Precision,
} from '../engine/index.ts';
import type { ImportedModel } from '../export/import-model.ts';
import { toHuggingFaceConfig } from '../model/config.ts';
import { type LossPlotOptions, lossPlot } from '../report/loss-plot.ts';
import { readCheckpointTensors, writeCheckpoint } from './checkpoint.ts';
import { initialProgress, type RunProgress, type RunRecord } from './checkpoint-state.ts';
import { evaluate } from './evaluate.ts';
import { type EvaluationEvent, type LoopEvent, trainingLoop, type UpdateEvent } from './loop.ts';
import { requireMemory } from './memory.ts';
import { readInitialWeights } from './initial-weights.ts';
import { type MetricsLine, readMetrics } from './metrics.ts';
import { MetricsLog } from './metrics-log.ts';
import { type RunPlan, identityOf, pinnedData, samplingOf, sessionOptionsOf } from './plan.ts';
import { chooseStart, type StartingPoint } from './resume.ts';
import { moveRunAside, pointLatest, removeLeftovers, rotate, runFiles, setAsideNewer } from './run-folder.ts';
import { type NamedArray, TrainingSession } from './session.ts';
import { toRecipeFile } from './settings.ts';

/** Evaluations of all runs on a dataset see the same masks and pairs, so that runs compare. */
const EVALUATION_SEED = 0;

export interface StartedEvent {
  readonly kind: 'started';
  readonly backend: Backend;
  readonly precision: Precision;
  /**
   * Floating-point operations a second of this machine's matrix products, measured; undefined on WebAssembly, where it
   * takes longer than it tells.
   */
  readonly matrixPeak: number | undefined;
  readonly progress: RunProgress;
  /** Checkpoint that the run goes on from. */
  readonly resumedFrom: string | undefined;
}

export interface NoteEvent {
  readonly kind: 'note';
  readonly text: string;
}

export type RunEvent = StartedEvent | NoteEvent | LoopEvent;

export interface TrainOptions {
  /** True: only from a checkpoint; false: anew, an old run is moved aside; undefined: from one where there is. */
  readonly resume: boolean | undefined;
  /** Whether a run that goes on may do so with another learning rate, batch, or number of steps. False by default. */
  readonly override?: boolean | undefined;
  /** Aborted: finish the update, write a checkpoint, return. */
  readonly signal: AbortSignal;
  readonly report: (event: RunEvent) => void;
}

export interface TrainOutcome {
  /** `already-finished`: the checkpoint had made all the steps, nothing was done. */
  readonly status: 'finished' | 'interrupted' | 'already-finished';
  readonly progress: RunProgress;
}

/**
 * Trains until the last step, or until interrupted, in the run's folder.
 * @throws TacoError in one line
 */
export async function train(plan: RunPlan, options: TrainOptions): Promise<TrainOutcome> {
  const { config } = plan;
  const backend = await openBackend(config.backend, { xla: config.xla });
  const precision = choosePrecision(config.precision, backend);
  requireMemory({ ...config, model: plan.model, maxSeqLen: plan.mixture.maxSeqLen }, backend);
  const record = {
    ...identityOf(plan),
    backend: `${backend.name} ${backend.version} (${backend.device})`,
    precision,
  };
  let lock = await lockRun(config.out);
  try {
    await removeLeftovers(config.out);
    const start = await chooseStart(config.out, options, record);
    for (const text of [...plan.notes, ...start.notes]) options.report({ kind: 'note', text });
    const initial = start.checkpoint === undefined ? await initialWeights(plan, options) : undefined;
    for (const text of initial?.notes ?? []) options.report({ kind: 'note', text });
    if (start.moveAside) {
      await lock.release();
      const aside = await moveRunAside(config.out);
      options.report({ kind: 'note', text: `the run that was in ${config.out} lies in ${aside} now` });
      lock = await lockRun(config.out);
    }
    const progress = start.checkpoint?.state.progress ?? initialProgress;
    if (isDone(plan, progress)) return { status: 'already-finished', progress };
    const matrixPeak = backend.name === 'tensorflow' ? measureMatrixPeak(precision) : undefined;
    options.report({
      kind: 'started',
      backend,
      precision,
      matrixPeak,
      progress,
      resumedFrom: start.checkpoint?.path,
    });
    return await new Run(plan, record, { ...start, initial: initial?.tensors }, options).execute();
  } finally {
    await lock.release();
  }
}

/** Weights to begin with; undefined when they are drawn. @throws TacoError when they are not of this model */
async function initialWeights(
  plan: RunPlan,
  { signal, report }: TrainOptions,
): Promise<ImportedModel | undefined> {
  const { initFrom, seed } = plan.config;
  if (initFrom === undefined) return undefined;
  const onWait = ({ message }: WaitNotice): void => {
    report({ kind: 'note', text: message });
  };
  const context = { ...hubFromEnvironment(process.env), cacheFolder: HUB_CACHE, signal, onWait };
  return await readInitialWeights(initFrom, plan, { context, seed });
}

/** All updates are made and, where that is asked for, the last evaluation too. */
function isDone({ config, mixture }: RunPlan, { step, evaluatedAtStep }: RunProgress): boolean {
  if (step !== config.maxSteps) return step > config.maxSteps;
  const isEvaluated = config.evalSteps === 0 || mixture.numRows('validation') === 0;
  return isEvaluated || evaluatedAtStep === step;
}

async function lockRun(folder: string): Promise<FolderLock> {
  try {
    await ensureFolder(folder);
    return await lockFolder(folder);
  } catch (error) {
    if (!(error instanceof TacoError) || error.code !== 'locked') throw error;
    throw new TacoError(
      `another process trains in ${folder}; wait for it, stop it, or choose another folder with --out`,
      { code: 'locked', stage: 'train', path: folder, cause: error },
    );
  }
}

/** Where a run begins, and with what when that is its first step. */
type Beginning = StartingPoint & { readonly initial: Map<string, NamedArray> | undefined };

class Run {
  readonly #plan: RunPlan;
  readonly #record: RunRecord;
  readonly #start: Beginning;
  readonly #options: TrainOptions;
  readonly #path: (name: string) => string;

  constructor(plan: RunPlan, record: RunRecord, start: Beginning, options: TrainOptions) {
    this.#plan = plan;
    this.#record = record;
    this.#start = start;
    this.#options = options;
    this.#path = (name) => join(plan.config.out, name);
  }

  async execute(): Promise<TrainOutcome> {
    const { config } = this.#plan;
    const { checkpoint, initial } = this.#start;
    if (checkpoint !== undefined) await setAsideNewer(config.out, checkpoint.state.progress.step);
    const recipe = JSON.stringify(toRecipeFile(config), null, 2);
    await writeFileAtomic(this.#path(runFiles.recipe), `${recipe}\n`);

    const session = new TrainingSession(sessionOptionsOf(this.#plan, this.#record.precision));
    const metrics = await MetricsLog.open({
      runFolder: config.out,
      from: checkpoint?.state ?? { metricsBytes: 0, tensorboardBytes: 0 },
      note: (text) => {
        this.#options.report({ kind: 'note', text });
      },
    });
    try {
      if (checkpoint !== undefined) {
        session.importState(await readCheckpointTensors(checkpoint.path), { optimizer: 'restore' });
      } else if (initial !== undefined) {
        session.importState(initial, { optimizer: 'reset' });
        // They would take room for as long as the run goes on.
        initial.clear();
      }
      return await this.#loop(session, metrics, checkpoint?.state.progress ?? initialProgress);
    } finally {
      await metrics.close();
      session.dispose();
    }
  }

  async #loop(session: TrainingSession, metrics: MetricsLog, start: RunProgress): Promise<TrainOutcome> {
    const { config } = this.#plan;
    const { report, signal } = this.#options;
    let progress = start;
    const events$ = trainingLoop({
      config,
      start,
      session,
      batches: (cursor, credits$) =>
        batches(
          {
            ...samplingOf(this.#plan),
            data: pinnedData(this.#plan),
            seed: config.seed,
            cursor,
            prefetch: Math.max(4, 2 * config.gradAccum),
            onWait: ({ message }) => {
              report({ kind: 'note', text: message });
            },
          },
          credits$,
        ),
      evaluate: this.#evaluation(session),
      record: (event) => metrics.append(lineOf(event)),
      save: (at) => this.#save(session, metrics, at),
      signal,
    }).pipe(
      tap((event) => {
        progress = event.progress;
        report(event);
      }),
    );
    await lastValueFrom(events$, { defaultValue: undefined });
    return { status: progress.step >= config.maxSteps ? 'finished' : 'interrupted', progress };
  }

  #evaluation(session: TrainingSession): (() => ReturnType<typeof evaluate>) | undefined {
    const { config, mixture } = this.#plan;
    if (config.evalSteps === 0) return undefined;
    if (mixture.numRows('validation') === 0) {
      const names = mixture.parts.map(({ reference }) => reference);
      const text = `${names.join(' and ')} ${names.length === 1 ? 'has' : 'have'} no validation split: the model is not evaluated on the way`;
      this.#options.report({ kind: 'note', text });
      return undefined;
    }
    return () =>
      evaluate({
        session,
        batches: evaluationBatches({
          ...samplingOf(this.#plan),
          mixture,
          seed: EVALUATION_SEED,
          maxRows: config.evalRows === 0 ? undefined : config.evalRows,
        }),
        signal: this.#options.signal,
      });
  }

  async #save(session: TrainingSession, metrics: MetricsLog, progress: RunProgress): Promise<string> {
    const { config, model, tokenizer } = this.#plan;
    const path = await writeCheckpoint(config.out, {
      state: { version: 2, progress, ...(await metrics.positions()), run: this.#record },
      tensors: session.exportState(),
      files: new Map([
        ['config.json', `${JSON.stringify(toHuggingFaceConfig(model), null, 2)}\n`],
        ...tokenizerFilesOf(tokenizer),
      ]),
    });
    await pointLatest(config.out, progress.step);
    await rotate(config.out, config.saveTotalLimit);
    await this.#plot();
    return path;
  }

  /** Draws all metrics so far. A run does not end because of its picture. */
  async #plot(): Promise<void> {
    try {
      const lines = await readMetrics(this.#path(runFiles.metrics));
      await writeFileAtomic(this.#path(runFiles.plot), lossPlot(lines, this.#plotOptions()));
    } catch (error) {
      this.#options.report({ kind: 'note', text: `no new loss plot: ${messageOf(error)}` });
    }
  }

  #plotOptions(): LossPlotOptions {
    const { config, model, mixture } = this.#plan;
    const name = config.bertConfig ?? `BERT-${config.model}`;
    return {
      title: `${name}, ${config.mode === 'mlm' ? 'MLM' : 'TACO'}, ${config.batchSize * config.gradAccum} × ${mixture.maxSeqLen} tokens per update`,
      vocabSize: model.vocabSize,
      numNegatives: config.mode === 'mlm' ? undefined : config.negK,
    };
  }
}

function lineOf(event: UpdateEvent | EvaluationEvent): MetricsLine {
  const { step, numTokens } = event.progress;
  if (event.kind === 'evaluation') {
    return { type: 'validation', step, ...event.evaluation, durationMs: Math.round(event.durationMs) };
  }
  const { numTokens: stepTokens, ...metrics } = event.metrics;
  return {
    type: 'update',
    step,
    learningRate: event.learningRate,
    ...metrics,
    numTokens,
    tokensPerSecond: Math.round((1000 * stepTokens) / (event.stepMs + event.waitMs)),
    waitMs: Math.round(event.waitMs * 10) / 10,
  };
}
