/**
 * How fast batches are made, and what share of the time a training step waits for them.
 *
 *     npx tsx test/bench/batches.ts [--step-ms 100] [--data FOLDER]
 *     npx tsx test/bench/batches.ts --rows 10000000
 *
 * Without --data a dataset of 13 M tokens is made in a temporary folder. With --rows one of so many short rows, to
 * see what opening it and going on anywhere in it take.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { concatMap, lastValueFrom, Subject, take } from 'rxjs';
import type { BatchOptions, PairOptions } from '../../pipeline/batch-options.ts';
import { batches } from '../../pipeline/batches.ts';
import { openDataset } from '../../pipeline/shards/dataset.ts';
import type { Batch } from '../../pipeline/types.ts';
import { wholeFlag } from '../../src/cli/command.ts';
import { writeDataset } from '../support/dataset.ts';
import { scriptArguments } from '../support/script.ts';
import { measureLargeDataset } from './large-dataset.ts';

interface Timings {
  readonly tokens: number;
  readonly firstMs: number;
  readonly totalMs: number;
  readonly waitMs: number;
  /** Of all threads, after the first batch: unlike the clock it does not depend on what else the machine does. */
  readonly cpuMs: number;
}

/** Takes `count` batches; `step` stands for training and blocks the thread as a native step does. */
async function consume(options: BatchOptions, count: number, stepMs: number): Promise<Timings> {
  const credits$ = new Subject<number>();
  const startedAt = performance.now();
  let idleSince = startedAt;
  let firstMs = 0;
  let waitMs = 0;
  let tokens = 0;
  let cpuAtFirst = process.cpuUsage();
  const step = async (batch: Batch, index: number): Promise<void> => {
    await nextTurn();
    const now = performance.now();
    if (index === 0) {
      firstMs = now - startedAt;
      cpuAtFirst = process.cpuUsage();
    } else waitMs += now - idleSince;
    credits$.next(1);
    tokens += batch.inputIds.length;
    while (performance.now() - now < stepMs);
    idleSince = performance.now();
  };
  await lastValueFrom(batches(options, credits$).pipe(take(count), concatMap(step)), {
    defaultValue: undefined,
  });
  const { user, system } = process.cpuUsage(cpuAtFirst);
  const totalMs = performance.now() - startedAt - firstMs;
  return { tokens, firstMs, totalMs, waitMs, cpuMs: (user + system) / 1000 };
}

function millions(tokens: number, ms: number): string {
  return `${(tokens / 1000 / ms).toFixed(2)} M tokens/s`;
}

async function measureReading(folder: string): Promise<void> {
  const dataset = await openDataset(folder);
  const numGroups = Math.min(dataset.numGroups('train'), 200);
  const startedAt = performance.now();
  let rows = 0;
  for (let group = 0; group < numGroups; group += 1)
    rows += (await dataset.readGroup('train', group)).numRows;
  console.log(
    `reading and decoding alone    ${millions(rows * dataset.maxSeqLen, performance.now() - startedAt)}`,
  );
}

async function measure(folder: string, stepMs: number): Promise<void> {
  await measureReading(folder);
  const modes: readonly [string, PairOptions | undefined][] = [
    ['mlm', undefined],
    ['taco, K = 50', {}],
    ['taco, masked anchors', { variant: 'masked' }],
  ];
  for (const [name, taco] of modes) {
    for (const worker of [false, true]) {
      const options = { data: [folder], batchSize: 16, seed: 42, taco, worker };
      const { tokens, totalMs, firstMs, cpuMs } = await consume(options, 1500, 0);
      const where = worker ? 'worker thread' : 'same thread  ';
      console.log(
        `${name.padEnd(21)} ${where} ${millions(tokens, totalMs)} (${millions(tokens, cpuMs)} of CPU time), first batch after ${firstMs.toFixed(0)} ms`,
      );
    }
  }
  const steps = Math.max(20, Math.round(5000 / stepMs));
  for (const worker of [false, true]) {
    const options = { data: [folder], batchSize: 16, seed: 42, taco: {}, worker };
    const { totalMs, waitMs } = await consume(options, steps, stepMs);
    const share = ((100 * waitMs) / totalMs).toFixed(2);
    const where = worker ? 'worker thread' : 'same thread  ';
    console.log(
      `${steps} steps of ${stepMs} ms, taco    ${where} ${share} % of the time spent waiting for data`,
    );
  }
}

const { flags } = scriptArguments({
  usage: 'npm run bench:batches --',
  summary: 'How fast batches are made, and what share of the time a training step waits for them.',
  flags: {
    'step-ms': { type: 'number', help: 'milliseconds of what stands for a training step (default: 100)' },
    data: {
      type: 'string',
      placeholder: 'folder',
      help: 'a dataset to read (default: one of 13 M tokens, made up)',
    },
    rows: {
      type: 'number',
      help: 'make a dataset of so many short rows instead; see what opening it and going on anywhere in it take',
    },
  },
});
const stepMs = wholeFlag('step-ms', flags['step-ms'] ?? 100, 0);
if (flags.data !== undefined) {
  await measure(flags.data, stepMs);
} else {
  const folder = mkdtempSync(join(tmpdir(), 'taco-bench-'));
  try {
    if (flags.rows !== undefined) {
      await measureLargeDataset(folder, wholeFlag('rows', flags.rows, 1));
    } else {
      await writeDataset(folder, { maxSeqLen: 256, rowsPerGroup: 256, train: [25_600, 25_500] });
      await measure(folder, stepMs);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
