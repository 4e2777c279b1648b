import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { EvaluationOptions } from '../../pipeline/batch-options.ts';
import { evaluationBatches } from '../../pipeline/evaluation-batches.ts';
import { openMixture } from '../../pipeline/mixture.ts';
import type { Batch } from '../../pipeline/types.ts';
import { takeBatches } from '../support/batch-stream.ts';
import { type DatasetShape, originalIds, rowIds, rowNumbers, writeDataset } from '../support/dataset.ts';
import { datasetOf, writeMixedDatasets } from '../support/mixed-datasets.ts';
import { temporaryFolder } from '../support/folders.ts';

const shape: DatasetShape = { maxSeqLen: 12, rowsPerGroup: 4, train: [8], validation: [3, 9, 5] };
let folder = '';
type Changes = Partial<Omit<EvaluationOptions, 'mixture'>> & { readonly data?: readonly string[] };
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'taco-test-'));
  await writeDataset(folder, shape);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Without `data`: of the dataset that all tests share. */
async function evaluation(changes: Changes = {}): Promise<Batch[]> {
  const { data = [folder], ...others } = changes;
  const stream: Batch[] = [];
  const mixture = await openMixture(data);
  for await (const batch of evaluationBatches({ mixture, batchSize: 4, seed: 42, ...others })) {
    stream.push(batch);
  }
  return stream;
}
const all = Array.from({ length: 17 }, (_, row) => row);

describe('evaluationBatches', () => {
  it('go over the validation split once, in order, with a shorter last batch', async () => {
    const stream = await evaluation();
    expect(stream.map(({ batchSize }) => batchSize)).toEqual([4, 4, 4, 4, 1]);
    expect(stream.flatMap(rowNumbers)).toEqual(all);
    const ids = stream.flatMap((batch) => [...originalIds(batch)]);
    expect(ids).toEqual(all.flatMap((row) => [...rowIds(shape, 'validation', row)]));
  });

  it('are the same every time', async () => {
    expect(await evaluation({ taco: {} })).toEqual(await evaluation({ taco: {} }));
    expect(await evaluation({ seed: 43 })).not.toEqual(await evaluation());
  });

  it('mask a row the same whatever the batch size and the number of rows', async () => {
    const masks = async (changes: Changes): Promise<Map<number, string>> => {
      const byRow = new Map<number, string>();
      for (const batch of await evaluation(changes)) {
        for (const [i, row] of rowNumbers(batch).entries()) {
          byRow.set(row, batch.inputIds.slice(i * 12, (i + 1) * 12).join());
        }
      }
      return byRow;
    };
    const reference = await masks({});
    expect(reference.size).toBe(17);
    for (const changes of [{ batchSize: 1 }, { batchSize: 7 }, { taco: {} }, { maxRows: 5 }]) {
      const other = await masks(changes);
      expect(other.size).toBeGreaterThan(0);
      for (const [row, ids] of other) expect(ids).toBe(reference.get(row));
    }
  });

  it('mask otherwise than training does', async () => {
    const same = await temporaryFolder();
    const lengthOf = (): number => 12;
    await writeDataset(same, { ...shape, lengthOf, train: [4], validation: [4] });
    const [batch] = await evaluation({ data: [same] });
    const [training] = await takeBatches({ data: [same], batchSize: 4, seed: 42 }, 1);
    expect(batch!.maskedPositions).not.toEqual(training!.maskedPositions);
  });

  it.each([
    [1, [0]],
    [2, [0, 8]],
    [5, [0, 3, 6, 10, 13]],
    [17, all],
    [1000, all],
  ])('take at most %d rows, spread evenly', async (maxRows, rows) => {
    expect((await evaluation({ maxRows })).flatMap(rowNumbers)).toEqual(rows);
  });

  describe('with pairs', () => {
    it('never make a batch of one row: it joins the one before', async () => {
      expect((await evaluation({ taco: {} })).map(({ batchSize }) => batchSize)).toEqual([4, 4, 4, 5]);
      expect((await evaluation({ taco: {}, batchSize: 2 })).map(({ batchSize }) => batchSize)).toEqual([
        2, 2, 2, 2, 2, 2, 2, 3,
      ]);
      expect((await evaluation({ taco: {}, batchSize: 5 })).map(({ batchSize }) => batchSize)).toEqual([
        5, 5, 5, 2,
      ]);
      for (const { pairs } of await evaluation({ taco: {} }))
        expect(pairs!.anchors.length).toBeGreaterThan(0);
    });

    it('have no anchors where the whole split is one row', async () => {
      const [batch, ...others] = await evaluation({ taco: {}, maxRows: 1, mlmProbability: 1 });
      expect(others).toEqual([]);
      expect(batch!.pairs!.anchors).toHaveLength(0);
      expect(batch!.maskedPositions.length).toBeGreaterThan(0);
    });
  });

  it('are none without a validation split', async () => {
    const empty = await temporaryFolder();
    await writeDataset(empty, { ...shape, validation: [] });
    expect(await evaluation({ data: [empty] })).toEqual([]);
  });

  it('go over the rows of several datasets, one after another, whatever their weights and order', async () => {
    const made = await writeMixedDatasets([
      { train: [4], validation: [3, 4] },
      { train: [4], validation: [] },
      { train: [4], validation: [5] },
    ]);
    onTestFinished(made.remove);
    const [a, b, c] = made.folders as [string, string, string];
    const stream = await evaluation({ data: [a, b, c], taco: {} });
    const rows = stream.flatMap(rowNumbers);
    const own = [0, 2].map((index) => rows.filter((row) => datasetOf(row) === index));
    expect(own).toEqual([
      [0, 1, 2, 3, 4, 5, 6],
      [20_000, 20_001, 20_002, 20_003, 20_004],
    ]);
    expect([own.flat(), own.toReversed().flat()]).toContainEqual(rows);
    expect(await evaluation({ data: [`9:${c}`, `1:${b}`, `2:${a}`], taco: {} })).toEqual(stream);
    const sample = (await evaluation({ data: [a, b, c], maxRows: 4 })).flatMap(rowNumbers);
    expect(sample).toEqual([0, 3, 6, 9].map((index) => rows[index]));
  });

  it('fail with what is wrong with the dataset', async () => {
    const nothing = await temporaryFolder();
    await expect(evaluation({ data: [nothing] })).rejects.toMatchObject({ code: 'not-found' });
  });
});
