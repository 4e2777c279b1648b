import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../../pipeline/index.ts';
import { modelPreset } from '../../../src/model/config.ts';
import { trainingStepFlops } from '../../../src/model/flops.ts';
import { type Contender, type How, type Pythons, RunningContender } from './contender.ts';
import { type Group, MASKED_SHARE } from './groups.ts';
import type { StepAnswer, Task } from './protocol.ts';

/** Steps are those after the warm-up. */
export interface Result extends Contender {
  readonly version: string;
  readonly medianMs: number;
  readonly fastestMs: number;
  readonly slowestMs: number;
  readonly tokensPerSecond: number;
  /** Floating-point operations of the matrix products of the model a second. */
  readonly flopsPerSecond: number;
  readonly peakBytes: number;
  /** Ours: making a batch. */
  readonly batchMs: number | undefined;
  /** Ours: share of a step that is not TensorFlow's. */
  readonly overhead: number | undefined;
}

/** The results of a group, by whose they are and what was trained. */
export type Results = (how: How, precision: Task['precision'], mode?: Task['mode']) => Result | undefined;

const WARM_UP_STEPS = 3;
/** Threads of a step go on spinning for a moment; the next one's processors are to be free. */
const PAUSE_MS = 30;

interface Entrant extends Contender {
  readonly running: RunningContender;
  readonly version: string;
  readonly answers: StepAnswer[];
}

export interface MeasureOptions {
  readonly numRounds: number;
  readonly pythons: Pythons;
  /** One thread, by its processor time. */
  readonly cpuTime: boolean;
}

/** Starts the contenders that can start, warms them up, and lets them make `numRounds` steps in turns. */
export async function measureGroup(
  { contenders }: Group,
  { numRounds, pythons, cpuTime }: MeasureOptions,
): Promise<Result[]> {
  const entrants: Entrant[] = [];
  try {
    for (const { how, task } of contenders) {
      const contender = cpuTime ? { how, task: { ...task, numThreads: 1 } } : { how, task };
      const entrant = await start(contender, pythons);
      if (entrant !== undefined) entrants.push(entrant);
    }
    for (let round = 0; round < numRounds; round += 1) {
      for (const { running, answers } of entrants) {
        answers.push(await running.step());
        await sleep(PAUSE_MS);
      }
    }
    const results: Result[] = [];
    for (const entrant of entrants) {
      results.push(resultOf(entrant, (await entrant.running.quit()).peakBytes, cpuTime));
    }
    return results;
  } finally {
    for (const { running } of entrants) running.kill();
  }
}

export function resultsOf(results: readonly Result[]): Results {
  return (how, precision, mode = 'mlm') =>
    results.find(
      ({ how: whose, task }) => whose === how && task.precision === precision && task.mode === mode,
    );
}

export function nameOf({ how, task: { precision, mode } }: Contender): string {
  return `${how}, ${mode === 'mlm' ? 'MLM' : 'TACO'}, ${precision}`;
}

async function start(contender: Contender, pythons: Pythons): Promise<Entrant | undefined> {
  if (contender.how !== 'ours' && pythons[contender.how] === undefined) return undefined;
  const running = new RunningContender(contender, pythons);
  try {
    const { version } = await running.ready();
    for (let step = 0; step < WARM_UP_STEPS; step += 1) await running.step();
    return { ...contender, running, version, answers: [] };
  } catch (error) {
    running.kill();
    console.warn(`  skipped: ${nameOf(contender)} ${messageOf(error)}`);
    return undefined;
  }
}

function resultOf({ how, task, version, answers }: Entrant, peakBytes: number, cpuTime: boolean): Result {
  const times = answers.map(({ ms, cpuMs }) => (cpuTime ? cpuMs : ms));
  const medianMs = median(times);
  const { batchSize, maxSeqLen } = task;
  const numMasked = Math.round(MASKED_SHARE * batchSize * maxSeqLen);
  const flops = trainingStepFlops(modelPreset(task.model), { batchSize, maxSeqLen, numMasked });
  const overheads = answers.flatMap(({ ms, sessionMs }) =>
    sessionMs === undefined ? [] : [1 - sessionMs / ms],
  );
  const batchTimes = answers.flatMap(({ batchMs }) => (batchMs === undefined ? [] : [batchMs]));
  return {
    ...{ how, task, version, medianMs, peakBytes },
    fastestMs: Math.min(...times),
    slowestMs: Math.max(...times),
    tokensPerSecond: (1000 * batchSize * maxSeqLen) / medianMs,
    flopsPerSecond: (1000 * flops) / medianMs,
    batchMs: batchTimes.length === 0 ? undefined : median(batchTimes),
    overhead: overheads.length === 0 ? undefined : median(overheads),
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle) - 1]!) / 2;
}
