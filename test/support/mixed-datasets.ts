import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DatasetShape, writeDataset } from './dataset.ts';

/** Rows of dataset `index` are numbered from here on. */
const NUMBERS_PER_DATASET = 10_000;

export interface MixedDatasets {
  /** [num datasets] in the order in which they were asked for. */
  readonly folders: readonly string[];
  readonly fingerprints: readonly string[];
  readonly remove: () => Promise<void>;
}

/** Writes datasets with rows of 16 tokens whose `rowNumbers` tell which dataset a row is of: see `datasetOf`. */
export async function writeMixedDatasets(
  shapes: readonly (Pick<DatasetShape, 'train'> & Partial<DatasetShape>)[],
): Promise<MixedDatasets> {
  const root = mkdtempSync(join(tmpdir(), 'taco-test-'));
  const folders: string[] = [];
  const fingerprints: string[] = [];
  for (const [index, shape] of shapes.entries()) {
    const folder = join(root, String.fromCharCode('a'.charCodeAt(0) + index));
    const firstRow = index * NUMBERS_PER_DATASET;
    const manifest = await writeDataset(folder, {
      maxSeqLen: 16,
      rowsPerGroup: 4,
      seed: 100 + index,
      firstRow,
      ...shape,
    });
    folders.push(folder);
    fingerprints.push(manifest.fingerprint);
  }
  return { folders, fingerprints, remove: () => rm(root, { recursive: true, force: true }) };
}

/** Which dataset a row number is of. */
export function datasetOf(rowNumber: number): number {
  return Math.floor(rowNumber / NUMBERS_PER_DATASET);
}
