import { mkdtempSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EMPTY, firstValueFrom, NEVER, Subject } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { BatchOptions } from '../../pipeline/batch-options.ts';
import { batches } from '../../pipeline/batches.ts';
import { openDataset } from '../../pipeline/shards/dataset.ts';
import type { Batch } from '../../pipeline/types.ts';
import * as workerThread from '../../pipeline/workers/worker-thread.ts';
import { takeBatches } from '../support/batch-stream.ts';
import { cursorOf } from '../support/cursors.ts';
import { type DatasetShape, originalIds, rowIds, rowNumbers, writeDataset } from '../support/dataset.ts';
import { temporaryFolder } from '../support/folders.ts';

vi.mock('../../pipeline/workers/worker-thread.ts', { spy: true });

/** 37 rows: an epoch ends inside a batch, the last row group is short, some rows are padded. */
const shape: DatasetShape = {
  maxSeqLen: 16,
  rowsPerGroup: 4,
  train: [16, 16, 5],
  lengthOf: (_split, row) => (row % 9 === 0 ? 5 + (row % 7) : 16),
};
let folder = '';
let options: BatchOptions = { data: [folder], batchSize: 0, seed: 0 };
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'taco-test-'));
  await writeDataset(folder, shape);
  options = { data: [folder], batchSize: 4, seed: 42, taco: { numNegatives: 3 } };
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function failureOf(options: BatchOptions): Promise<unknown> {
  return takeBatches(options, 1).then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** Resolves when the stream fails. */
function failure(
  batchOptions: BatchOptions,
  onBatch: (batch: Batch) => void = () => undefined,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    batches(batchOptions, NEVER).subscribe({
      next: onBatch,
      error: resolve,
      complete: () => {
        reject(new Error('completed'));
      },
    });
  });
}

describe('batches', () => {
  it('hold each row once per epoch, with its own ids, in another order each epoch', async () => {
    const stream = await takeBatches(options, 37);
    const rows = stream.flatMap(rowNumbers);
    const epochs = [0, 1, 2, 3].map((epoch) => rows.slice(epoch * 37, (epoch + 1) * 37));
    const all = Array.from({ length: 37 }, (_, row) => row);
    for (const epoch of epochs) expect([...epoch].sort((a, b) => a - b)).toEqual(all);
    expect(new Set(epochs.map((epoch) => epoch.join())).size).toBe(4);
    for (const batch of stream) {
      const ids = originalIds(batch);
      for (const [i, row] of rowNumbers(batch).entries()) {
        expect(ids.slice(i * 16, (i + 1) * 16)).toEqual(rowIds(shape, 'train', row));
      }
    }
  });

  it('keep their order for a fixed seed: checkpoints depend on it', async () => {
    const rows = (await takeBatches(options, 10)).map((batch) => rowNumbers(batch).join(' '));
    expect(rows).toMatchInlineSnapshot(`
      [
        "11 12 2 28",
        "1 35 15 19",
        "7 14 10 24",
        "25 4 26 8",
        "30 9 20 31",
        "34 23 17 18",
        "13 27 29 33",
        "0 21 36 16",
        "32 22 6 3",
        "5 4 0 10",
      ]
    `);
  });

  it('carry the position after themselves', async () => {
    const { fingerprint } = await openDataset(folder);
    const stream = await takeBatches(options, 12);
    expect(stream.map(({ cursor }) => cursor)).toEqual(
      stream.map((_, m) => cursorOf((m + 1) * 4, fingerprint)),
    );
  });

  it('have an attention mask where a row is padded, and none where not', async () => {
    let masked = 0;
    for (const batch of await takeBatches(options, 20)) {
      const ids = originalIds(batch);
      const expected = ids.map((id) => (id === 0 ? 0 : 1));
      if (expected.every((value) => value === 1)) expect(batch.attentionMask).toBeUndefined();
      else {
        expect(batch.attentionMask).toEqual(expected);
        masked += 1;
      }
    }
    expect(masked).toBeGreaterThan(0);
    expect(masked).toBeLessThan(20);
  });

  it('mask a row the same whatever the batch size, and anew each epoch', async () => {
    const byBatchSize = await Promise.all(
      [2, 4, 37].map(async (batchSize) => {
        const stream = await takeBatches({ ...options, batchSize }, 2 * Math.ceil(74 / batchSize));
        return stream.flatMap((batch) =>
          Array.from({ length: batchSize }, (_, i) => batch.inputIds.slice(i * 16, (i + 1) * 16).join()),
        );
      }),
    );
    const [two, four, whole] = byBatchSize.map((rows) => rows.slice(0, 74));
    expect(two).toEqual(four);
    expect(two).toEqual(whole);
    expect([...two!.slice(0, 37)].sort()).not.toEqual([...two!.slice(37)].sort());
  });

  it('have pairs only where they are asked for, the rest being equal', async () => {
    const [withPairs, without] = await Promise.all([
      takeBatches(options, 5),
      takeBatches({ ...options, taco: undefined }, 5),
    ]);
    expect(without.map((batch) => ({ ...batch, pairs: 0 }))).toEqual(
      withPairs.map((batch) => ({ ...batch, pairs: 0 })),
    );
    expect(without.every(({ pairs }) => pairs === undefined)).toBe(true);
    for (const { pairs, attentionMask } of withPairs) {
      expect(pairs!.anchors.length).toBeGreaterThan(0);
      expect(pairs!.negatives.length).toBe(3 * pairs!.anchors.length);
      for (const position of [...pairs!.anchors, ...pairs!.positives, ...pairs!.negatives]) {
        if (attentionMask !== undefined) expect(attentionMask[position]).toBe(1);
      }
    }
  });

  describe('with backpressure', () => {
    it.each([1, 3])('are at most %d ahead of the credits', async (prefetch) => {
      const credits$ = new Subject<number>();
      const received: Batch[] = [];
      const subscription = batches({ ...options, prefetch }, credits$).subscribe({
        next: (batch) => received.push(batch),
        error: (error: unknown) => {
          throw error;
        },
      });
      await vi.waitFor(() => {
        expect(received.length).toBe(prefetch);
      }, 20_000);
      for (let consumed = 1; consumed <= 6; consumed += 1) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        expect(received.length).toBe(prefetch + consumed - 1);
        credits$.next(1);
        await vi.waitFor(() => {
          expect(received.length).toBe(prefetch + consumed);
        }, 5000);
      }
      subscription.unsubscribe();
    });

    it('come in the same order whatever is made ahead, and in whatever thread', async () => {
      const [first, ...others] = await Promise.all(
        [
          ...[1, 2, 3, 8, 16].map((prefetch) => ({ prefetch })),
          ...[1, 2, 3, 8].map((prefetch) => ({ prefetch, worker: true })),
        ].map((change) => takeBatches({ ...options, ...change }, 12)),
      );
      for (const other of others) expect(other).toEqual(first);
    });
  });

  describe('in a worker thread', () => {
    const lastWorker = (): workerThread.WorkerThread => {
      const result = vi.mocked(workerThread.startWorker).mock.results.at(-1);
      if (result?.type !== 'return') throw new Error('no worker was started');
      return result.value;
    };

    it('move their arrays instead of copying them: each has its own buffer', async () => {
      const [batch] = await takeBatches({ ...options, worker: true }, 1);
      const arrays = [batch!.inputIds, batch!.maskedPositions, batch!.maskedLabels, batch!.pairs!.negatives];
      for (const array of arrays) expect(array.buffer.byteLength).toBe(array.byteLength);
      expect(new Set(arrays.map(({ buffer }) => buffer)).size).toBe(4);
    });

    it('fail within seconds when the thread dies', async () => {
      const startedAt = performance.now();
      const error = await failure(options, () => void lastWorker().terminate());
      expect(error).toMatchObject({ name: 'TacoError', code: 'worker', stage: 'batches' });
      expect(String(error)).toMatch(/ended with exit code 1/);
      expect(performance.now() - startedAt).toBeLessThan(10_000);
    });

    it('fail when the thread throws or leaves on its own', async () => {
      const { Worker } = await import('node:worker_threads');
      for (const [script, message] of [
        ["throw new Error('out of luck')", /failed \(out of luck\)/],
        ['process.exit(7)', /ended with exit code 7/],
      ] as const) {
        vi.mocked(workerThread.startWorker).mockImplementationOnce(() => new Worker(script, { eval: true }));
        const error = await failure(options);
        expect(error).toMatchObject({ name: 'TacoError', code: 'worker' });
        expect(String(error)).toMatch(message);
      }
    });

    it.each([
      ['spins', 'while (true);', /has not answered for 0\.4 s; continue from the last checkpoint/],
      [
        'sleeps',
        'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);',
        /has not answered for 0\.4 s/,
      ],
      ['says nothing', '', /has not answered for 0\.4 s/],
    ])('fail within seconds when the thread %s', async (_name, then, message) => {
      const { Worker } = await import('node:worker_threads');
      const script = `
        const { parentPort } = require('node:worker_threads');
        const alive = () => parentPort.postMessage({ kind: 'alive' });
        parentPort.on('message', () => undefined);
        alive();
        setTimeout(() => { ${then} }, 50);`;
      const workers: workerThread.WorkerThread[] = [];
      vi.mocked(workerThread.startWorker).mockImplementationOnce(() => {
        const worker = new Worker(script, { eval: true });
        workers.push(worker);
        return worker;
      });
      const startedAt = performance.now();
      const error = await failure({ ...options, hangTimeoutMs: 400 });
      expect(error).toMatchObject({ name: 'TacoError', code: 'worker', stage: 'batches' });
      expect(String(error)).toMatch(message);
      expect(performance.now() - startedAt).toBeLessThan(30_000);
      await vi.waitFor(() => {
        expect(workers.map(({ threadId }) => threadId)).toEqual([-1]);
      }, 5000);
    });

    it('are not taken for hung while this thread is busy', async () => {
      const received: Batch[] = [];
      const errors: unknown[] = [];
      const credits$ = new Subject<number>();
      const subscription = batches({ ...options, prefetch: 1, hangTimeoutMs: 1500 }, credits$).subscribe({
        next: (batch) => received.push(batch),
        error: (error: unknown) => errors.push(error),
      });
      await vi.waitFor(() => {
        expect(received.length).toBe(1);
      }, 30_000);
      credits$.next(1);
      const busyUntil = performance.now() + 2000;
      while (performance.now() < busyUntil);
      await vi.waitFor(() => {
        expect(received.length).toBe(2);
      }, 5000);
      expect(errors).toEqual([]);
      subscription.unsubscribe();
    });

    it('are not taken for hung while the disk makes them wait', async () => {
      // Whoever reads a named pipe waits until somebody writes.
      const slow = await temporaryFolder();
      await writeDataset(slow, shape);
      const manifest = join(slow, 'manifest.json');
      const text = await readFile(manifest, 'utf8');
      await rm(manifest);
      execFileSync('mkfifo', [manifest]);
      const batch = firstValueFrom(batches({ ...options, data: [slow], hangTimeoutMs: 2000 }, NEVER), {
        defaultValue: undefined,
      });
      await vi.waitFor(() => {
        expect(lastWorker().threadId).toBeGreaterThan(0);
      });
      await new Promise((resolve) => lastWorker().once('message', resolve));
      await new Promise((resolve) => setTimeout(resolve, 3000));
      await writeFile(manifest, text);
      expect((await batch)?.cursor.position).toBe(4);
    });

    it('end with their subscription', async () => {
      const numTimers = (): number =>
        process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
      const before = numTimers();
      for (let i = 0; i < 3; i += 1) {
        await new Promise<void>((resolve, reject) => {
          const subscription = batches(options, EMPTY).subscribe({
            next: () => {
              lastWorker().on('exit', () => {
                resolve();
              });
              subscription.unsubscribe();
            },
            error: reject,
          });
        });
      }
      expect(numTimers()).toBeLessThanOrEqual(before);
    });

    it('report a damaged dataset as the error it is', async () => {
      const other = await temporaryFolder();
      const error = await failure({ ...options, data: [other] });
      expect(error).toMatchObject({
        name: 'TacoError',
        code: 'not-found',
        path: join(other, 'manifest.json'),
      });
      expect(String(error)).toContain('prepare-data');
    });
  });

  it.each([
    [0, undefined, /has 0 training rows, expected at least 1/],
    [1, {}, /has 1 training rows, expected at least 2/],
  ])('need rows: %d of them', async (numRows, taco, message) => {
    const small = await temporaryFolder();
    await writeDataset(small, { ...shape, train: numRows === 0 ? [] : [numRows], validation: [2] });
    const error = await failureOf({ ...options, data: [small], taco });
    expect(error).toMatchObject({ code: 'bad-config', message: expect.stringMatching(message) as unknown });
  });

  it('go over a dataset smaller than a batch several times within it', async () => {
    const small = await temporaryFolder();
    await writeDataset(small, { ...shape, train: [3] });
    const [batch] = await takeBatches({ ...options, data: [small], batchSize: 9 }, 1);
    expect(rowNumbers(batch!).sort((a, b) => a - b)).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2]);
  });
});
