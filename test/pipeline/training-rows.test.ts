import { describe, expect, it } from 'vitest';
import { type Dataset, openDataset } from '../../pipeline/shards/dataset.ts';
import type { Split } from '../../pipeline/shards/manifest.ts';
import { SHUFFLE_WINDOW_GROUPS, TrainingRows } from '../../pipeline/training-rows.ts';
import { type DatasetShape, rowIds, writeDataset } from '../support/dataset.ts';
import { temporaryFolder } from '../support/folders.ts';

const shape: DatasetShape = { maxSeqLen: 6, rowsPerGroup: 3, train: [60, 60, 29] };

interface Watched {
  readonly dataset: Dataset;
  /** Row groups read so far. */
  readonly reads: number[];
  highestConcurrency: () => number;
}

/** A dataset that tells what is read of it. */
async function watchedDataset(): Promise<Watched> {
  const folder = await temporaryFolder();
  await writeDataset(folder, shape);
  const dataset = await openDataset(folder);
  const reads: number[] = [];
  let [running, most] = [0, 0];
  const readGroup = async (split: Split, group: number): ReturnType<Dataset['readGroup']> => {
    reads.push(group);
    running += 1;
    most = Math.max(most, running);
    try {
      return await dataset.readGroup(split, group);
    } finally {
      running -= 1;
    }
  };
  return { dataset: { ...dataset, readGroup }, reads, highestConcurrency: () => most };
}

/** The rows at `count` positions, one after another. */
async function read(rows: TrainingRows, position: number, count: number): Promise<Int32Array> {
  const ids = new Int32Array(count * 6);
  await rows.read(position, ids, [...Array(count).keys()]);
  return ids;
}

const numRows = 149;
const numGroups = 50;

describe('TrainingRows', () => {
  it.each([
    [1, 1],
    [4, 8],
    [7, 5],
    [50, 16],
    [SHUFFLE_WINDOW_GROUPS, 10],
  ])(
    'with windows of %d groups hold at most two windows and deliver each row once',
    async (window, count) => {
      const { dataset, reads, highestConcurrency } = await watchedDataset();
      const rows = new TrainingRows(dataset, 7, window);
      const delivered: string[] = [];
      let peak = 0;
      for (let position = 0; position < 3 * numRows; position += count) {
        const ids = await read(rows, position, count);
        for (let i = 0; i < count; i += 1) delivered.push(ids.slice(i * 6, (i + 1) * 6).join());
        peak = Math.max(peak, rows.numHeldGroups);
        if (position === 0) expect(rows.numHeldGroups).toBeLessThanOrEqual(2 * window);
      }
      expect(peak).toBeLessThanOrEqual(Math.min(2 * window, numGroups));
      expect(highestConcurrency()).toBeLessThanOrEqual(4);
      const expected = Array.from({ length: numRows }, (_, row) => rowIds(shape, 'train', row).join()).sort();
      for (const epoch of [0, 1, 2]) {
        expect(delivered.slice(epoch * numRows, (epoch + 1) * numRows).sort()).toEqual(expected);
      }
      // Each group once an epoch; with all in memory once for good.
      expect(reads.length).toBeLessThanOrEqual(window >= numGroups ? numGroups : 4 * numGroups);
    },
  );

  it('read the next window a little with each batch, none of it at the border', async () => {
    const { dataset, reads } = await watchedDataset();
    const rows = new TrainingRows(dataset, 7, 10);
    const perBatch: number[] = [];
    for (let position = 0; position < 90; position += 3) {
      const before = reads.length;
      await read(rows, position, 3);
      perBatch.push(reads.length - before);
    }
    expect(perBatch[0]).toBeGreaterThanOrEqual(10);
    expect(Math.max(...perBatch.slice(1))).toBeLessThanOrEqual(3);
  });

  it('begin anywhere by reading the window there and a share of the next', async () => {
    for (const position of [0, 75, numRows * 1000 + 31, 4 * 10 ** 12]) {
      const { dataset, reads } = await watchedDataset();
      await read(new TrainingRows(dataset, 7, 5), position, 2);
      expect(reads.length).toBeGreaterThanOrEqual(2);
      // Two rows lie in two windows at most; the second's follower has begun to be read.
      expect(reads.length).toBeLessThanOrEqual(15);
    }
  });

  it('give the same rows from any beginning', async () => {
    const { dataset } = await watchedDataset();
    const whole = await read(new TrainingRows(dataset, 7, 6), 0, 400);
    for (const position of [1, 17, 18, 100, 148, 149, 150, 297, 399]) {
      const alone = await read(new TrainingRows(dataset, 7, 6), position, 1);
      expect(alone).toEqual(whole.slice(position * 6, (position + 1) * 6));
    }
  });

  it('put each row where it is wanted and touch nothing else', async () => {
    const { dataset } = await watchedDataset();
    const rows = new TrainingRows(dataset, 7, 6);
    const inOrder = await read(rows, 20, 3);
    const ids = new Int32Array(8 * 6).fill(-1);
    await rows.read(20, ids, [6, 1, 3]);
    const expected = new Int32Array(8 * 6).fill(-1);
    for (const [i, slot] of [6, 1, 3].entries()) expected.set(inOrder.slice(i * 6, (i + 1) * 6), slot * 6);
    expect(ids).toEqual(expected);
  });

  it('can go on after a read that failed', async () => {
    const { dataset } = await watchedDataset();
    let failing = true;
    const readGroup = (split: Split, group: number): ReturnType<Dataset['readGroup']> =>
      failing ? Promise.reject(new Error('no luck')) : dataset.readGroup(split, group);
    const rows = new TrainingRows({ ...dataset, readGroup }, 7, 6);
    await expect(read(rows, 0, 4)).rejects.toThrow('no luck');
    failing = false;
    expect(await read(rows, 0, 4)).toEqual(await read(new TrainingRows(dataset, 7, 6), 0, 4));
  });
});
