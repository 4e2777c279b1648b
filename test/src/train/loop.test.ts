import { type Observable, of, Subject, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { type Batch, type BatchCursor, TacoError } from '../../../pipeline/index.ts';
import { initialProgress, type RunProgress } from '../../../src/train/checkpoint-state.ts';
import type { Evaluation } from '../../../src/train/evaluate.ts';
import { type LoopEvent, type LoopOptions, trainingLoop } from '../../../src/train/loop.ts';
import type { StepMetrics } from '../../../src/train/session-types.ts';
import { numberedBatches } from '../../support/numbered-batches.ts';

interface Scene {
  readonly options: LoopOptions;
  /** What happened, in order. */
  readonly log: string[];
  readonly abort: AbortController;
  readonly saved: RunProgress[];
  /** Positions of the rows of each update's micro-batches. */
  readonly consumed: number[][];
}

interface SceneOptions {
  readonly config?: Partial<LoopOptions['config']>;
  readonly start?: RunProgress;
  /** Steps (from 1) whose loss is not finite. */
  readonly isBad?: (step: number) => boolean;
  readonly evaluate?: 'none' | 'normal' | 'interrupted';
  readonly batches?: LoopOptions['batches'];
}

function sceneOf(options: SceneOptions = {}): Scene {
  const log: string[] = [];
  const saved: RunProgress[] = [];
  const consumed: number[][] = [];
  const abort = new AbortController();
  let step = options.start?.step ?? 0;
  const evaluation: Evaluation = {
    mlmLoss: 1,
    perplexity: Math.E,
    mlmAccuracy: 0.5,
    numRows: 4,
    numMasked: 8,
  };
  const loop: LoopOptions = {
    config: {
      maxSteps: 6,
      gradAccum: 2,
      lr: 1,
      warmupSteps: 2,
      saveSteps: 0,
      evalSteps: 0,
      ...options.config,
    },
    start: options.start ?? initialProgress,
    session: {
      trainStep(microBatches, stepOptions) {
        expect(stepOptions.step).toBe(step);
        step += 1;
        consumed.push(microBatches.map(({ cursor }) => cursor.position));
        log.push(`step ${step} lr ${Number(stepOptions.learningRate.toFixed(3))}`);
        return metricsOf(options.isBad?.(step) ?? false);
      },
    },
    batches: options.batches ?? numberedBatches(),
    evaluate:
      options.evaluate === 'none' || options.evaluate === undefined
        ? undefined
        : () => {
            log.push(`evaluate at ${step}`);
            return Promise.resolve(options.evaluate === 'normal' ? evaluation : undefined);
          },
    record: (event) => {
      log.push(`record ${event.kind} ${event.progress.step}`);
      return Promise.resolve();
    },
    save: (progress) => {
      log.push(`save ${progress.step}`);
      saved.push(progress);
      return Promise.resolve(`checkpoint-${progress.step}`);
    },
    signal: abort.signal,
  };
  return { options: loop, log, abort, saved, consumed };
}

function metricsOf(skipped: boolean): StepMetrics {
  const loss = skipped ? Number.NaN : 1;
  return { loss, mlmLoss: loss, mlmAccuracy: 0, gradNorm: loss, skipped, numTokens: 10 };
}

function collect(events$: Observable<LoopEvent>, onEvent: (event: LoopEvent) => void = () => undefined) {
  return new Promise<LoopEvent[]>((resolve, reject) => {
    const events: LoopEvent[] = [];
    events$.subscribe({
      next: (event) => {
        events.push(event);
        onEvent(event);
      },
      error: reject,
      complete: () => {
        resolve(events);
      },
    });
  });
}

describe('trainingLoop', () => {
  it('gathers micro-batches into updates along the schedule and saves the end', async () => {
    const scene = sceneOf();
    const events = await collect(trainingLoop(scene.options));
    expect(scene.consumed).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
      [7, 8],
      [9, 10],
      [11, 12],
    ]);
    expect(scene.log.filter((line) => line.startsWith('step'))).toEqual([
      'step 1 lr 0',
      'step 2 lr 0.5',
      'step 3 lr 1',
      'step 4 lr 0.75',
      'step 5 lr 0.5',
      'step 6 lr 0.25',
    ]);
    expect(scene.saved).toEqual([
      {
        ...initialProgress,
        step: 6,
        numTokens: 60,
        cursor: expect.objectContaining({ position: 12 }) as unknown,
      },
    ]);
    expect(events.map(({ kind }) => kind)).toEqual([...Array<string>(6).fill('update'), 'checkpoint']);
  });

  it('records, evaluates and saves one after another before the next update', async () => {
    const scene = sceneOf({ config: { saveSteps: 2, evalSteps: 3 }, evaluate: 'normal' });
    await collect(trainingLoop(scene.options));
    expect(scene.log.map((line) => line.replace(/ lr .*/, ''))).toEqual([
      'evaluate at 0',
      'record evaluation 0',
      'step 1',
      'record update 1',
      'step 2',
      'record update 2',
      'save 2',
      'step 3',
      'record update 3',
      'evaluate at 3',
      'record evaluation 3',
      'step 4',
      'record update 4',
      'save 4',
      'step 5',
      'record update 5',
      'step 6',
      'record update 6',
      'evaluate at 6',
      'record evaluation 6',
      'save 6',
    ]);
  });

  it('goes on after the state that was saved, wherever it was', async () => {
    const config = { evalSteps: 4 };
    const whole = sceneOf({ config, evaluate: 'normal' });
    await collect(trainingLoop(whole.options));
    for (let stop = 1; stop < 6; stop += 1) {
      const first = sceneOf({ config, evaluate: 'normal' });
      await collect(trainingLoop(first.options), (event) => {
        if (event.kind === 'update' && event.progress.step === stop) first.abort.abort();
      });
      expect(first.saved.map(({ step }) => step)).toEqual([stop]);
      const second = sceneOf({ config, evaluate: 'normal', start: first.saved[0]! });
      await collect(trainingLoop(second.options));
      expect([...first.consumed, ...second.consumed]).toEqual(whole.consumed);
      const kept = (scene: Scene) => scene.log.filter((line) => !line.startsWith('save'));
      expect([...kept(first), ...kept(second)]).toEqual(kept(whole));
      expect(second.saved.at(-1)).toEqual(whole.saved.at(-1));
    }
  });

  it('makes up for an evaluation that was interrupted', async () => {
    const first = sceneOf({ config: { evalSteps: 2, maxSteps: 2, saveSteps: 2 }, evaluate: 'interrupted' });
    await collect(trainingLoop(first.options));
    expect(first.saved.at(-1)).toMatchObject({ step: 2, evaluatedAtStep: null });
    const second = sceneOf({
      config: { evalSteps: 2, maxSteps: 2 },
      evaluate: 'normal',
      start: first.saved.at(-1)!,
    });
    await collect(trainingLoop(second.options));
    expect(second.log).toEqual(['evaluate at 2', 'record evaluation 2', 'save 2']);
    expect(second.saved.at(-1)).toMatchObject({ step: 2, evaluatedAtStep: 2 });
  });

  it('finishes the update under way when aborted, saves and stops', async () => {
    const scene = sceneOf({ config: { saveSteps: 4 } });
    const events = await collect(trainingLoop(scene.options), (event) => {
      if (event.kind === 'update' && event.progress.step === 3) scene.abort.abort();
    });
    expect(events.map((event) => `${event.kind} ${event.progress.step}`)).toEqual([
      'update 1',
      'update 2',
      'update 3',
      'checkpoint 3',
    ]);
  });

  it('does nothing when it is aborted before it begins', async () => {
    const scene = sceneOf({ config: { evalSteps: 1 }, evaluate: 'normal' });
    scene.abort.abort();
    expect(await collect(trainingLoop(scene.options))).toEqual([]);
    expect(scene.log).toEqual([]);
  });

  it('stops while it waits for data', async () => {
    const never$ = new Subject<Batch>();
    const scene = sceneOf({ batches: () => never$ });
    const ended = collect(trainingLoop(scene.options));
    scene.abort.abort();
    expect(await ended).toEqual([]);
    expect(never$.observed).toBe(false);
  });

  it('returns a credit for each micro-batch that it takes', async () => {
    let credits = 0;
    const scene = sceneOf({
      batches: (cursor, credits$) => {
        credits$.subscribe({
          next: (count) => {
            credits += count;
          },
          error: expect.unreachable,
        });
        return numberedBatches()(cursor, credits$);
      },
    });
    await collect(trainingLoop(scene.options));
    expect(credits).toBe(12);
  });

  it('gives the event loop a turn between steps', async () => {
    const scene = sceneOf();
    let turns = 0;
    const timer = setImmediate(function count() {
      turns += 1;
      if (turns < 1000) setImmediate(count);
    });
    await collect(trainingLoop(scene.options));
    clearImmediate(timer);
    expect(turns).toBeGreaterThanOrEqual(6);
  });

  it('counts skipped updates and goes on', async () => {
    const scene = sceneOf({ isBad: (step) => step === 2 || step === 3 });
    const events = await collect(trainingLoop(scene.options));
    expect(events.filter((event) => event.kind === 'update' && event.metrics.skipped)).toHaveLength(2);
    expect(scene.saved.at(-1)).toMatchObject({ step: 6, numSkipped: 2, numSkippedInARow: 0 });
  });

  it('stops after ten skipped updates in a row and keeps the last good checkpoint', async () => {
    const scene = sceneOf({ config: { maxSteps: 100, saveSteps: 5 }, isBad: (step) => step > 7 });
    await expect(collect(trainingLoop(scene.options))).rejects.toMatchObject({
      name: 'TacoError',
      code: 'diverged',
      message: expect.stringContaining('in 10 updates in a row (steps 8 to 17)') as unknown,
    });
    expect(scene.consumed).toHaveLength(17);
    expect(scene.saved.map(({ step }) => step)).toEqual([5, 10, 15]);
  });

  it('counts skipped updates in a row across a resume', async () => {
    const scene = sceneOf({
      config: { maxSteps: 100 },
      start: { ...initialProgress, step: 9, numSkipped: 9, numSkippedInARow: 9 },
      isBad: () => true,
    });
    await expect(collect(trainingLoop(scene.options))).rejects.toMatchObject({ code: 'diverged' });
    expect(scene.consumed).toHaveLength(1);
  });

  it('saves what was learnt when the data fails, then reports the failure', async () => {
    const failure = new TacoError('shard gone', { code: 'corrupt', stage: 'shards' });
    const scene = sceneOf({ batches: failingAfter(5, failure) });
    await expect(collect(trainingLoop(scene.options))).rejects.toBe(failure);
    expect(scene.saved.map(({ step }) => step)).toEqual([2]);
  });

  it('saves nothing when the data fails before the first update', async () => {
    const failure = new Error('no worker');
    const scene = sceneOf({ batches: () => throwError(() => failure) });
    await expect(collect(trainingLoop(scene.options))).rejects.toBe(failure);
    expect(scene.saved).toEqual([]);
  });

  it('trains on when the disk takes no checkpoint, says so, and saves at the next occasion', async () => {
    const scene = sceneOf({ config: { saveSteps: 2 } });
    const error = new TacoError('no space', { code: 'disk', stage: 'checkpoint' });
    const save = (progress: RunProgress) =>
      progress.step === 2 ? Promise.reject(error) : scene.options.save(progress);
    const events = await collect(trainingLoop({ ...scene.options, save }));
    expect(scene.consumed).toHaveLength(6);
    expect(events.flatMap((event) => (event.kind === 'checkpoint-failed' ? [event] : []))).toEqual([
      { kind: 'checkpoint-failed', progress: expect.objectContaining({ step: 2 }) as unknown, error },
    ]);
    expect(scene.saved.map(({ step }) => step)).toEqual([4, 6]);
  });

  it('ends with an error when the last state cannot be saved, and says which one was', async () => {
    const scene = sceneOf({ config: { saveSteps: 2 } });
    const error = new TacoError('no space', { code: 'disk', stage: 'checkpoint' });
    const save = (progress: RunProgress) =>
      progress.step > 2 ? Promise.reject(error) : scene.options.save(progress);
    await expect(collect(trainingLoop({ ...scene.options, save }))).rejects.toMatchObject({
      code: 'disk',
      message:
        'no space; step 6 is not saved, the last checkpoint is of step 2; make room and run the same command again, it goes on from there',
    });
    expect(scene.consumed).toHaveLength(6);
  });

  it('does not take a defect for a full disk', async () => {
    const scene = sceneOf({ config: { saveSteps: 2 } });
    const failure = new Error('defect');
    await expect(
      collect(trainingLoop({ ...scene.options, save: () => Promise.reject(failure) })),
    ).rejects.toBe(failure);
    expect(scene.consumed).toHaveLength(2);
  });

  it('does not train on when metrics cannot be written', async () => {
    const scene = sceneOf();
    const failure = new Error('disk full');
    const options = { ...scene.options, record: () => Promise.reject(failure) };
    await expect(collect(trainingLoop(options))).rejects.toBe(failure);
    expect(scene.consumed).toHaveLength(1);
  });

  it('ignores micro-batches that do not make a whole update', async () => {
    const batch = (position: number) => ({ cursor: { position } }) as Batch;
    const scene = sceneOf({ batches: () => of(batch(1), batch(2), batch(3)) });
    await collect(trainingLoop(scene.options));
    expect(scene.consumed).toEqual([[1, 2]]);
  });
});

/** Numbered batches that end with an error. */
function failingAfter(count: number, failure: Error): LoopOptions['batches'] {
  return (cursor: BatchCursor | undefined, credits$: Observable<number>) =>
    numberedBatches({ failAt: { count, failure } })(cursor, credits$);
}
