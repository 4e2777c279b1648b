import { readFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openDataset } from '../../../pipeline/shards/dataset.ts';
import { readManifest, type Split, writeManifest } from '../../../pipeline/shards/manifest.ts';
import { type DatasetShape, rowIds, writeDataset } from '../../support/dataset.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { manifestWith } from '../../support/manifests.ts';

const shape: DatasetShape = {
  maxSeqLen: 8,
  rowsPerGroup: 4,
  train: [12, 12, 7],
  validation: [3, 9, 1],
};

async function someDataset(): Promise<string> {
  const folder = await temporaryFolder();
  await writeDataset(folder, shape);
  return folder;
}

describe('openDataset', () => {
  it('states what the manifest says', async () => {
    const folder = await temporaryFolder();
    const manifest = await writeDataset(folder, shape);
    const dataset = await openDataset(folder);
    expect(dataset).toMatchObject({
      reference: folder,
      fingerprint: manifest.fingerprint,
      maxSeqLen: 8,
      rowsPerGroup: 4,
      vocabSize: 30_522,
      specialTokenIds: { pad: 0, unk: 100, cls: 101, sep: 102, mask: 103 },
    });
    expect([dataset.numRows('train'), dataset.numGroups('train')]).toEqual([31, 8]);
    expect([dataset.numRows('validation'), dataset.numGroups('validation')]).toEqual([13, 5]);
  });

  it.each(['train', 'validation'] as const)(
    'finds every %s row across uneven shards',
    async (split: Split) => {
      const dataset = await openDataset(await someDataset());
      for (let row = 0; row < dataset.numRows(split); row += 1) {
        const place = dataset.placeOf(split, row);
        const group = await dataset.readGroup(split, place.group);
        expect(place.row).toBeLessThan(group.numRows);
        expect(Array.from(group.ids.subarray(place.row * 8, (place.row + 1) * 8))).toEqual(
          Array.from(rowIds(shape, split, row)),
        );
      }
    },
  );

  it('opens a split without rows', async () => {
    const folder = await temporaryFolder();
    await writeDataset(folder, { ...shape, validation: [] });
    const dataset = await openDataset(folder);
    expect([dataset.numRows('validation'), dataset.numGroups('validation')]).toEqual([0, 0]);
  });

  it('says how to make a dataset where there is none', async () => {
    const folder = await temporaryFolder();
    await expect(openDataset(folder)).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringMatching(/no dataset in .*prepare-data/) as unknown,
    });
  });

  it('refuses a dataset in the making', async () => {
    const folder = await temporaryFolder();
    await writeManifest(folder, manifestWith({ status: 'running' }));
    await expect(openDataset(folder)).rejects.toMatchObject({
      code: 'mismatch',
      message: expect.stringContaining('not complete') as unknown,
    });
  });

  it('refuses a shard of another size, naming it and both sizes', async () => {
    const folder = await someDataset();
    const path = join(folder, 'train/00001.parquet');
    const { length } = await readFile(path);
    await truncate(path, length - 1);
    await expect(openDataset(folder)).rejects.toMatchObject({
      code: 'corrupt',
      path,
      message: expect.stringContaining(`${length - 1} bytes, expected ${length}`) as unknown,
    });
  });

  it('refuses a missing shard', async () => {
    const folder = await someDataset();
    await rm(join(folder, 'validation/00002.parquet'));
    await expect(openDataset(folder)).rejects.toMatchObject({
      code: 'not-found',
      path: join(folder, 'validation/00002.parquet'),
    });
  });

  it('refuses training shards that do not end with a row group, and totals that do not add up', async () => {
    const folder = await temporaryFolder();
    await writeDataset(folder, { ...shape, train: [6, 4] });
    await expect(openDataset(folder)).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining('after 6 training rows, expected a multiple of 4') as unknown,
    });
    const other = await someDataset();
    const manifest = (await readManifest(other))!;
    await writeManifest(other, { ...manifest, totals: { ...manifest.totals, trainRows: 30 } });
    await expect(openDataset(other)).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining('shards of 31 train rows, its total says 30') as unknown,
    });
  });
});
