import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { byFingerprint, openMixture, orderSeedOf } from '../../pipeline/mixture.ts';
import { parseManifest, writeManifest } from '../../pipeline/shards/manifest.ts';
import { takeBatches } from '../support/batch-stream.ts';
import { rowNumbers, writeDataset } from '../support/dataset.ts';
import { temporaryFolder } from '../support/folders.ts';
import { manifestWith } from '../support/manifests.ts';
import { datasetOf, type MixedDatasets, writeMixedDatasets } from '../support/mixed-datasets.ts';

/** Two of the same shape, one small, one of other rows. */
let made: MixedDatasets;
let [a, b, small, long] = ['', '', '', ''];
beforeAll(async () => {
  made = await writeMixedDatasets([
    { train: [32], validation: [3] },
    { train: [32], validation: [5] },
    { train: [5] },
    { train: [4], maxSeqLen: 12 },
  ]);
  [a, b, small, long] = made.folders as [string, string, string, string];
});
afterAll(() => made.remove());

const rowsOf = async (data: readonly string[], numRows: number): Promise<number[]> =>
  (await takeBatches({ data, batchSize: numRows, seed: 42 }, 1)).flatMap(rowNumbers);

describe('openMixture', () => {
  it('without weights gives each dataset the share of its training rows', async () => {
    const mixture = await openMixture([a, small]);
    expect(mixture.parts.map(({ reference, weight }) => [reference, weight])).toEqual([
      [a, 32],
      [small, 5],
    ]);
    expect([mixture.numRows('train'), mixture.numRows('validation'), mixture.maxSeqLen]).toEqual([37, 3, 16]);
    const rows = await rowsOf([a, small], 37);
    expect(new Set(rows).size).toBe(37);
  });

  it('with weights gives each the share it was told, at any time', async () => {
    const rows = await rowsOf([`3:${a}`, `1:${b}`], 400);
    for (let n = 1; n <= 400; n += 1) {
      const own = rows.slice(0, n).filter((row) => datasetOf(row) === 0).length;
      expect(Math.abs(own - 0.75 * n)).toBeLessThan(1);
    }
  });

  it('lets a small dataset begin anew while a large one goes on', async () => {
    const rows = await rowsOf([`1:${a}`, `1:${small}`], 64);
    const own = (index: number): number[] => rows.filter((row) => datasetOf(row) === index);
    expect(new Set(own(0)).size).toBe(32);
    const epochs = Array.from({ length: 6 }, (_, epoch) => own(2).slice(epoch * 5, (epoch + 1) * 5));
    for (const epoch of epochs) expect(new Set(epoch).size).toBe(5);
    expect(new Set(epochs.map((epoch) => epoch.join())).size).toBeGreaterThan(1);
  });

  it('orders by fingerprint: the order of the flags changes nothing', async () => {
    const options = { batchSize: 8, seed: 42, taco: {} };
    const one = await takeBatches({ ...options, data: [`2:${a}`, `2:${b}`, `1:${small}`] }, 5);
    const other = await takeBatches({ ...options, data: [`1:${small}`, `2:${b}`, `2:${a}`] }, 5);
    expect(other).toEqual(one);
    const { parts } = await openMixture([a, b, small]);
    const sorted = byFingerprint(parts).map(({ dataset }) => dataset.fingerprint);
    expect(sorted).toEqual([...sorted].sort());
  });

  it('counts weights by their ratio', async () => {
    const ratio = async (...data: string[]): Promise<number[]> =>
      (await openMixture(data)).parts.map(({ weight }) => weight);
    expect(await ratio(`3:${a}`, `1.5:${b}`)).toEqual([2, 1]);
    expect(await ratio(`7:${a}`)).toEqual([1]);
  });

  it('does not shuffle datasets of one size alike, nor a dataset in a mixture as alone', async () => {
    const rows = await rowsOf([a, b], 64);
    const own = (index: number): string =>
      rows
        .filter((row) => datasetOf(row) === index)
        .map((row) => row % 10_000)
        .join();
    expect(own(0)).not.toBe(own(1));
    const seeds = (await openMixture([a, b])).parts.map((part) => orderSeedOf(part, 42, 2));
    expect(new Set([...seeds, 42]).size).toBe(3);
  });

  it('masks and pairs by the place in the run: no two rows alike, and a row anew each time', async () => {
    const [batch] = await takeBatches({ data: [a, b], batchSize: 64, seed: 42, mlmProbability: 0.5 }, 1);
    const masks = Array.from({ length: 64 }, (_, row) =>
      batch!.maskedPositions
        .filter((position) => Math.floor(position / 16) === row)
        .map((position) => position % 16)
        .join(),
    );
    expect(new Set(masks).size).toBeGreaterThan(60);
  });

  describe('refuses what does not go together, both values named:', () => {
    it('rows of another length', async () => {
      const refused = openMixture([a, long]);
      await expect(refused).rejects.toMatchObject({ code: 'mismatch' });
      await expect(refused).rejects.toThrow(`${a} has rows of 16, ${long} has 12; `);
    });

    it('rows of another tokenizer', async () => {
      const folder = await temporaryFolder();
      await writeDataset(folder, { maxSeqLen: 16, rowsPerGroup: 4, train: [4] });
      const path = join(folder, 'manifest.json');
      const { tokenizer, ...rest } = parseManifest(await readFile(path, 'utf8'), path);
      const other = { ...tokenizer, reference: 'org/other', fingerprint: 'e'.repeat(64) };
      await writeManifest(folder, manifestWith({ ...rest, tokenizer: other }));
      const refused = openMixture([`1:${a}`, `2:${folder}`]);
      await expect(refused).rejects.toMatchObject({ code: 'mismatch' });
      await expect(refused).rejects.toThrow(
        /has tokenizer google-bert\/bert-base-uncased \(0{12}\), .* has org\/other \(e{12}\); /,
      );
    });

    it('one dataset twice', async () => {
      const refused = openMixture([`1:${a}`, `2:${b}`, `1:${a}/`]);
      await expect(refused).rejects.toMatchObject({ code: 'bad-config' });
      await expect(refused).rejects.toThrow(`--data ${a} and --data ${a}/ are the same dataset`);
    });
  });

  it('needs rows of each dataset', async () => {
    const folder = await temporaryFolder();
    await writeDataset(folder, { maxSeqLen: 16, rowsPerGroup: 4, train: [], validation: [2] });
    const failed = takeBatches({ data: [a, folder], batchSize: 4, seed: 42 }, 1);
    await expect(failed).rejects.toThrow(`the dataset in ${folder} has 0 training rows, expected at least 1`);
  });

  it('says what is wrong with a dataset', async () => {
    await expect(openMixture([a, '/nowhere'])).rejects.toMatchObject({ code: 'not-found' });
  });
});
