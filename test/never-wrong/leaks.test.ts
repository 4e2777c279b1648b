import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { NEVER, Subject } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BatchOptions } from '../../pipeline/batch-options.ts';
import { batches } from '../../pipeline/batches.ts';
import { createPrepareConfig, type PrepareConfig } from '../../pipeline/config.ts';
import { type PrepareEvent, prepare } from '../../pipeline/prepare.ts';
import { hashesBelow } from '../support/folders.ts';
import { mixedConfig, offline, prepareToEnd, writeInputs } from '../support/preparations.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

let home = '';
let config: PrepareConfig;
let options: BatchOptions;
let expected: Record<string, string> = {};

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'taco-leaks-'));
  await writeInputs(home, 300);
  config = mixedConfig(home, { rowsPerShard: 128 });
  await prepareToEnd(config);
  expected = await hashesBelow(config.out);
  options = { data: [config.out], batchSize: 8, seed: 1, taco: { numNegatives: 5 } };
});
afterAll(() => rm(home, { recursive: true, force: true }));

/** What a stream may hold: open files and sockets, threads, timers and other things that keep a process alive. */
async function held(): Promise<{ files: number; threads: number; active: number }> {
  const count = async (folder: string): Promise<number> => (await readdir(folder)).length;
  return {
    files: await count('/proc/self/fd'),
    threads: await count('/proc/self/task'),
    active: process.getActiveResourcesInfo().filter((name) => name !== 'Immediate').length,
  };
}

/** Repeats a look until it finds nothing, for threads and buffers take a moment to go; the last finding counts. */
async function settled<T>(look: () => Promise<readonly T[]>): Promise<readonly T[]> {
  const giveUpAt = performance.now() + 10_000;
  for (;;) {
    const found = await look();
    if (found.length === 0 || performance.now() > giveUpAt) return found;
    // No poll of the test runner: its timers would be among what is counted.
    await delay(20);
  }
}

async function expectNothingMoreThan(before: Awaited<ReturnType<typeof held>>): Promise<void> {
  const more = await settled(async () => {
    const now = await held();
    return Object.entries(before).filter(([name, count]) => now[name as keyof typeof now] > count);
  });
  expect(more).toEqual([]);
}

function memoryInUse(): number {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

async function expectMemoryWithin(limitBytes: number, before: number): Promise<void> {
  const more = await settled(() => {
    const growth = memoryInUse() - before;
    return Promise.resolve(growth < limitBytes ? [] : [growth]);
  });
  expect(more).toEqual([]);
}

/** Subscribes, takes some batches and leaves. */
function abandon(batchOptions: BatchOptions, numBatches: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let seen = 0;
    const subscription = batches(batchOptions, NEVER).subscribe({
      next: () => {
        seen += 1;
        if (seen === numBatches) leave();
      },
      error: reject,
    });
    const leave = (): void => {
      subscription.unsubscribe();
      resolve();
    };
    if (numBatches === 0) leave();
  });
}

describe.skipIf(!existsSync('/proc/self/task'))('streams that are abandoned leave nothing behind:', () => {
  it('a thousand of batches', async () => {
    for (let i = 0; i < 50; i += 1) await abandon({ ...options, worker: false }, i % 4);
    await delay(50);
    const before = await held();
    const memoryBefore = memoryInUse();
    for (let i = 0; i < 1000; i += 1) await abandon({ ...options, worker: false }, i % 4);
    await expectNothingMoreThan(before);
    await expectMemoryWithin(3e6, memoryBefore);
  });

  it('a dozen of batches made in threads', async () => {
    await abandon(options, 1);
    await delay(500);
    const before = await held();
    for (let i = 0; i < 12; i += 1) await abandon(options, i % 3);
    await expectNothingMoreThan(before);
  });

  it('five dozen of preparation, left at any event, with and without threads', {
    timeout: 120_000,
  }, async () => {
    const abandoned = { ...config, out: join(home, 'abandoned') };
    const types: readonly PrepareEvent['type'][] = ['planned', 'progress', 'committed'];
    const leave = async (workers: number, type: PrepareEvent['type']): Promise<void> => {
      await new Promise<void>((resolve, reject) => {
        const subscription = prepare(createPrepareConfig({ ...abandoned, workers }), offline).subscribe({
          next: (event) => {
            if (event.type !== type && event.type !== 'done') return;
            // An event may come before `subscribe` returns.
            queueMicrotask(() => {
              subscription.unsubscribe();
              resolve();
            });
          },
          error: reject,
        });
      });
      // The folder is given back when the last write is done.
      const lock = join(abandoned.out, '.lock');
      expect(await settled(() => Promise.resolve(existsSync(lock) ? [lock] : []))).toEqual([]);
    };
    for (let i = 0; i < 10; i += 1) await leave(i % 2, 'progress');
    await delay(500);
    const before = await held();
    const memoryBefore = memoryInUse();
    for (let i = 0; i < 60; i += 1) {
      await leave(i % 8 === 0 ? 2 : 0, types[i % types.length]!);
      if (i % 10 === 0) await rm(abandoned.out, { recursive: true, force: true });
    }
    const names = await readdir(abandoned.out, { recursive: true });
    expect(names.filter((name) => /tmp|lock/.test(name))).toEqual([]);
    await expectNothingMoreThan(before);
    await expectMemoryWithin(3e6, memoryBefore);
    await prepareToEnd(abandoned);
    expect(await hashesBelow(abandoned.out)).toEqual(expected);
  });
});

describe('a slow consumer of batches', () => {
  it.each([false, true])(
    'has no more of them in flight than it asked for, and memory stays flat (thread: %s)',
    async (worker) => {
      const credits$ = new Subject<number>();
      const prefetch = 3;
      let received = 0;
      let consumed = 0;
      let highWater = 0;
      const memory: number[] = [];
      const subscription = batches({ ...options, worker, prefetch }, credits$).subscribe({
        next: () => {
          received += 1;
          highWater = Math.max(highWater, received - consumed);
        },
        error: (error: unknown) => {
          throw error;
        },
      });
      const numBatches = 600;
      while (consumed < numBatches) {
        // Now and then very slow: everything upstream has time to run ahead.
        await delay(consumed % 100 === 0 ? 60 : 0);
        if (received === consumed) continue;
        consumed += 1;
        credits$.next(1);
        if (consumed % 100 === 0) memory.push(memoryInUse());
      }
      subscription.unsubscribe();
      expect(highWater).toBe(prefetch);
      await expectMemoryWithin(3e6, Math.min(...memory));
    },
  );
});
