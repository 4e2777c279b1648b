import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Subject } from 'rxjs';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { BatchOptions } from '../../pipeline/batch-options.ts';
import { batches } from '../../pipeline/batches.ts';
import { SHUFFLE_WINDOW_GROUPS } from '../../pipeline/training-rows.ts';
import type { Batch, BatchCursor } from '../../pipeline/types.ts';
import { takeBatches } from '../support/batch-stream.ts';
import { cursorOf } from '../support/cursors.ts';
import { rowNumbers, writeDataset } from '../support/dataset.ts';
import { datasetOf, type MixedDatasets, writeMixedDatasets } from '../support/mixed-datasets.ts';

/** Row groups read of any dataset, in the calling thread. */
const reads = vi.hoisted(() => ({ count: 0 }));
vi.mock(import('../../pipeline/shards/dataset.ts'), async (original) => {
  const { openDataset } = await original();
  return {
    openDataset: async (...args: Parameters<typeof openDataset>) => {
      const dataset = await openDataset(...args);
      const readGroup: typeof dataset.readGroup = (split, group) => {
        reads.count += 1;
        return dataset.readGroup(split, group);
      };
      return { ...dataset, readGroup };
    },
  };
});
beforeEach(() => {
  reads.count = 0;
});

/** Uneven shards with padded rows and a short last row group; a single row group; two rows. */
let made: MixedDatasets;
let mixed: BatchOptions = { data: ['nowhere'], batchSize: 0, seed: 0 };
/** The same in the ratio of their rows: all end their epochs at every 50th row. */
let even = mixed;
beforeAll(async () => {
  made = await writeMixedDatasets([
    { train: [16, 16, 5], lengthOf: (_split, row) => (row % 9 === 0 ? 5 + (row % 7) : 16) },
    { train: [11], rowsPerGroup: 16 },
    { train: [2] },
  ]);
  const [a, b, c] = made.folders as [string, string, string];
  mixed = { data: [`3:${a}`, `1:${b}`, `0.5:${c}`], batchSize: 4, seed: 42, taco: { numNegatives: 3 } };
  even = { ...mixed, data: [a, b, c], batchSize: 5 };
});
afterAll(() => made.remove());

/** Rows of `mixed` in which its largest dataset is read twice: 2 · 37 rows of two thirds. */
const TWO_EPOCHS = 112 / 4;

function throughJson(cursor: BatchCursor): BatchCursor {
  return JSON.parse(JSON.stringify(cursor)) as BatchCursor;
}

/** Batches as if by one run, which stops and goes on after so many batches each. */
async function inParts(
  changes: readonly (Partial<BatchOptions> & { readonly count: number })[],
): Promise<Batch[]> {
  const parts: Batch[] = [];
  for (const { count, ...change } of changes) {
    const last = parts.at(-1);
    const cursor = last === undefined ? undefined : throughJson(last.cursor);
    parts.push(...(await takeBatches({ ...mixed, cursor, ...change }, count)));
  }
  return parts;
}

function failureOf(options: BatchOptions): Promise<unknown> {
  return takeBatches(options, 1).then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe('a mixed run', () => {
  it('keeps its order for a fixed seed: checkpoints depend on it', async () => {
    const rows = (await takeBatches(mixed, 6)).map((batch) => rowNumbers(batch).join(' '));
    expect(rows).toMatchInlineSnapshot(`
      [
        "1 12 10001 30",
        "33 10002 32 10",
        "20001 22 35 10006",
        "27 18 10009 5",
        "19 20000 26 2",
        "10000 16 25 10007",
      ]
    `);
  });

  it('holds every row of every dataset once per epoch', async () => {
    const rows = (await takeBatches(even, 30)).flatMap(rowNumbers);
    const numbers = [37, 11, 2].flatMap((count, index) =>
      Array.from({ length: count }, (_, row) => 10_000 * index + row),
    );
    const epochs = [0, 1, 2].map((epoch) => rows.slice(50 * epoch, 50 * (epoch + 1)));
    for (const epoch of epochs) expect([...epoch].sort((x, y) => x - y)).toEqual(numbers);
    expect(new Set(epochs.map((epoch) => epoch.join())).size).toBe(3);
  });
});

describe('a state', () => {
  it('captured before every batch of two mixed epochs restores the identical tail', async () => {
    const whole = await takeBatches(mixed, TWO_EPOCHS);
    const ofFirst = whole.flatMap(rowNumbers).filter((row) => datasetOf(row) === 0);
    expect(ofFirst.length).toBeGreaterThanOrEqual(2 * 37);
    for (let done = 0; done < TWO_EPOCHS; done += 1) {
      const cursor = done === 0 ? undefined : throughJson(whole[done - 1]!.cursor);
      expect(await takeBatches({ ...mixed, cursor }, TWO_EPOCHS - done)).toEqual(whole.slice(done));
    }
  });

  it('at the beginning, in the middle, before the last batch, at the end of an epoch and in the second', async () => {
    const whole = await takeBatches(even, 30);
    for (const done of [0, 1, 5, 9, 10, 11, 19, 20]) {
      const cursor = done === 0 ? undefined : throughJson(whole[done - 1]!.cursor);
      expect(await takeBatches({ ...even, cursor }, 30 - done)).toEqual(whole.slice(done));
    }
    const atEnd = whole[9]!.cursor.datasets;
    expect(atEnd.map(({ position }) => position).sort((x, y) => x - y)).toEqual([2, 11, 37]);
    expect(atEnd.map(({ lag }) => lag)).toEqual([0, 0, 0]);
  });

  it('of the very beginning is as none', async () => {
    const [first] = await takeBatches(mixed, 1);
    const datasets = first!.cursor.datasets.map((dataset) => ({ ...dataset, position: 0, lag: 0 }));
    const cursor = { ...first!.cursor, position: 0, datasets };
    expect(await takeBatches({ ...mixed, cursor }, 1)).toEqual([first]);
  });

  it('restored twice and three times gives what one run gives', async () => {
    const whole = await takeBatches(mixed, 25);
    expect(await inParts([1, 3, 4, 17].map((count) => ({ count })))).toEqual(whole);
  });

  it('goes from thread to thread and from 1 to 2, 3 and 8 batches ahead and back', async () => {
    const whole = await takeBatches(mixed, 24);
    const parts = await inParts([
      { count: 4, prefetch: 1 },
      { count: 4, prefetch: 2, worker: true },
      { count: 4, prefetch: 3 },
      { count: 8, prefetch: 8, worker: true },
      { count: 4, prefetch: 2 },
    ]);
    expect(parts).toEqual(whole);
  });

  it('restored with other batch sizes goes on with the very next row', async () => {
    const whole = (await takeBatches(mixed, 40)).flatMap(rowNumbers);
    const sizes = [4, 7, 1, 33, 2, 5].map((batchSize) => ({ batchSize, count: 3, taco: undefined }));
    const rows = (await inParts(sizes)).flatMap(rowNumbers);
    expect(rows).toEqual(whole.slice(0, rows.length));
    expect(rows.length).toBe(156);
  });

  it('has a size that does not grow with the step', async () => {
    const whole = await takeBatches(mixed, TWO_EPOCHS);
    const sizes = whole.map(({ cursor }) => JSON.stringify(cursor).length);
    // Digits of four numbers and of three lags with their signs.
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThan(4 * 2 + 3 * 2);
    expect(Math.max(...sizes)).toBeLessThan(500);
  });

  it('far into training is restored with as few row groups as at the beginning', async () => {
    const [first] = await takeBatches(mixed, 1);
    const costAt = async (rounds: number): Promise<number> => {
      reads.count = 0;
      const datasets = first!.cursor.datasets.map((dataset) => ({
        ...dataset,
        position: dataset.weight * rounds,
        lag: 0,
      }));
      const position = datasets.reduce((sum, dataset) => sum + dataset.position, 0);
      await takeBatches({ ...mixed, prefetch: 1, cursor: { ...first!.cursor, position, datasets } }, 1);
      return reads.count;
    };
    const atBeginning = await costAt(0);
    expect(atBeginning).toBeGreaterThan(0);
    for (const rounds of [1, 7, 1001, 10 ** 9, 10 ** 12]) {
      expect(await costAt(rounds)).toBeLessThanOrEqual(atBeginning);
    }
  });

  it('counts what was delivered, and looking at it makes nothing', async () => {
    const credits$ = new Subject<number>();
    const received: Batch[] = [];
    const stream$ = batches({ ...mixed, worker: false, prefetch: 2 }, credits$);
    const subscription = stream$.subscribe({
      next: (batch) => received.push(batch),
      error: (error: unknown) => {
        throw error;
      },
    });
    await vi.waitFor(() => {
      expect(received).toHaveLength(2);
    });
    const before = reads.count;
    for (const { cursor } of received) throughJson(cursor);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(received.map(({ cursor }) => cursor.position)).toEqual([4, 8]);
    expect(reads.count).toBe(before);
    // One of the two was consumed: the state to keep is its own, whatever was made ahead.
    const rest = await takeBatches({ ...mixed, cursor: throughJson(received[0]!.cursor) }, 3);
    expect(rest[0]).toEqual(received[1]);
    subscription.unsubscribe();
  });
});

describe('other weights', () => {
  const share = (stream: readonly Batch[], index: number): number =>
    stream.flatMap(rowNumbers).filter((row) => datasetOf(row) === index).length;

  it('apply from where they are given, make up for nothing, and are restored exactly', async () => {
    const [a, b] = made.folders as [string, string];
    const first = await takeBatches({ ...mixed, data: [`3:${a}`, `1:${b}`] }, 10);
    expect(share(first, 1)).toBe(10);
    const changed = { ...mixed, data: [`1:${a}`, `3:${b}`] };
    const whole = await takeBatches({ ...changed, cursor: throughJson(first.at(-1)!.cursor) }, 20);
    for (let n = 1; n <= 20; n += 1) expect(share(whole.slice(0, n), 1)).toBe(3 * n);
    for (let done = 1; done < 20; done += 3) {
      const cursor = throughJson(whole[done - 1]!.cursor);
      expect(await takeBatches({ ...changed, cursor }, 20 - done)).toEqual(whole.slice(done));
    }
  });

  it('leave each dataset where it was: none of its rows is lost or comes twice', async () => {
    const [a, b] = made.folders as [string, string];
    const first = await takeBatches({ ...mixed, data: [`3:${a}`, `1:${b}`] }, 4);
    const cursor = throughJson(first.at(-1)!.cursor);
    const rest = await takeBatches({ ...mixed, data: [`1:${a}`, `2:${b}`], cursor }, 20);
    const own = [...first, ...rest].flatMap(rowNumbers).filter((row) => datasetOf(row) === 0);
    expect(own.length).toBeGreaterThan(37);
    expect(new Set(own.slice(0, 37)).size).toBe(37);
  });

  it('that say the same ratio are no others', async () => {
    const [a, b] = made.folders as [string, string];
    const whole = await takeBatches({ ...mixed, data: [`3:${a}`, `1:${b}`] }, 8);
    const cursor = throughJson(whole[2]!.cursor);
    expect(await takeBatches({ ...mixed, data: [`1:${b}`, `3.0:${a}`], cursor }, 5)).toEqual(whole.slice(3));
  });
});

describe('a state of something else', () => {
  it.each([
    ['dataset', () => cursorOf(8, 'f'.repeat(64)), /on dataset f{12}, this run has [0-9a-f]{12} \(.*\/a\)/],
    ['seed', () => cursorOf(8, made.fingerprints[0], 43), /seed 43.*seed 42/],
    ['version', () => ({ ...cursorOf(8), version: 1 }) as unknown as BatchCursor, /version 1.*version 2/],
  ])(
    'is refused: another %s, both values named, from whatever thread',
    async (_name, makeCursor, pattern) => {
      for (const worker of [false, true]) {
        const error = await failureOf({ ...mixed, data: [made.folders[0]!], cursor: makeCursor(), worker });
        expect(error).toMatchObject({ name: 'TacoError', code: 'mismatch', stage: 'batches' });
        expect(String(error)).toMatch(pattern);
      }
    },
  );

  it('is refused: a dataset joined or left', async () => {
    const [a, b] = made.folders as [string, string];
    const [alone] = await takeBatches({ ...mixed, data: [a] }, 1);
    const [both] = await takeBatches({ ...mixed, data: [a, b] }, 1);
    for (const [data, { cursor }] of [
      [[a, b], alone!],
      [[a], both!],
    ] as const) {
      const error = await failureOf({ ...mixed, data, cursor });
      expect(error).toMatchObject({ code: 'mismatch' });
      for (const fingerprint of made.fingerprints.slice(0, 2)) {
        expect(String(error)).toContain(fingerprint.slice(0, 12));
      }
    }
  });
});

describe('a dataset of more row groups than are held', () => {
  let folder = '';
  const numRows = 700;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'taco-test-'));
    await writeDataset(folder, { maxSeqLen: 8, rowsPerGroup: 1, train: [300, 300, 100] });
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('is resumed with the row groups of two windows at most, at any step', async () => {
    const options = { data: [folder], batchSize: 5, seed: 42, prefetch: 1 };
    const [first] = await takeBatches(options, 1);
    const { fingerprint } = first!.cursor.datasets[0]!;
    for (const position of [0, 5, 640, numRows - 5, numRows, numRows + 5, numRows * 10 ** 9 + 100]) {
      reads.count = 0;
      await takeBatches({ ...options, cursor: cursorOf(position, fingerprint) }, 1);
      expect(reads.count).toBeGreaterThan(0);
      expect(reads.count).toBeLessThanOrEqual(2 * SHUFFLE_WINDOW_GROUPS);
    }
  });

  it('goes on identically across windows and epochs', async () => {
    const options = { data: [folder], batchSize: 35, seed: 42 };
    const whole = await takeBatches(options, 44);
    for (const done of [1, 3, 4, 7, 11, 19, 20, 21, 39, 40, 41]) {
      const cursor = throughJson(whole[done - 1]!.cursor);
      expect(await takeBatches({ ...options, cursor }, 3)).toEqual(whole.slice(done, done + 3));
    }
    for (const epoch of [0, 1]) {
      const rows = whole.slice(20 * epoch, 20 * (epoch + 1)).flatMap(rowNumbers);
      expect(rows.sort((x, y) => x - y)).toEqual(Array.from({ length: numRows }, (_, row) => row));
    }
  });
});
