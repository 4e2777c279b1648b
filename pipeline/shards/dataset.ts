import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { TacoError } from '../errors.ts';
import type { SpecialTokenIds } from '../types.ts';
import { damageOf } from './check.ts';
import { type Manifest, type ManifestShard, manifestFile, readManifest, type Split } from './manifest.ts';
import { damagedShard, readError, ShardReader, type TokenRows } from './reader.ts';

/** A prepared dataset, open for reading. Holds no file open and nothing that needs closing. */
export interface Dataset {
  readonly folder: string;
  readonly manifest: Manifest;
  /** Names the rows: equal fingerprints mean equal rows. */
  readonly fingerprint: string;
  readonly maxSeqLen: number;
  readonly vocabSize: number;
  readonly specialTokenIds: SpecialTokenIds;
  readonly rowsPerGroup: number;
  numRows(split: Split): number;
  numGroups(split: Split): number;
  /** Row group and row within it of a row of the split. */
  placeOf(split: Split, row: number): { readonly group: number; readonly row: number };
  /**
   * @param group from 0 to `numGroups(split) - 1`, in the order of the shards
   * @throws TacoError `not-found`, `disk`, or `corrupt` naming file and offset
   */
  readGroup(split: Split, group: number): Promise<TokenRows>;
}

export interface OpenDatasetOptions {
  /** `sizes` looks at each shard's size; `hashes` reads them all and compares sha256 too. Default `sizes`. */
  readonly verify?: 'sizes' | 'hashes';
}

interface SplitShards {
  readonly numRows: number;
  readonly numGroups: number;
  /** [num shards] row and row group of the split at which each shard begins. */
  readonly firstRows: readonly number[];
  readonly firstGroups: readonly number[];
  readonly readers: readonly ShardReader[];
}

const MAX_CONCURRENT_FILES = 8;

/**
 * Opens a folder that prepare-data filled and checks that it is whole: manifest, status, every shard's size.
 * @throws TacoError `not-found` without a manifest or shard, `mismatch` when preparation is unfinished or the
 *   manifest is of another version, `corrupt` when something is not what the manifest says
 */
export async function openDataset(folder: string, options: OpenDatasetOptions = {}): Promise<Dataset> {
  const manifest = await readManifest(folder);
  const path = join(folder, manifestFile);
  if (manifest === undefined) {
    throw new TacoError(
      `there is no dataset in ${folder} (${manifestFile} is missing); make one with npm run prepare-data -- --out ${folder}`,
      { code: 'not-found', stage: 'batches', path },
    );
  }
  if (manifest.status !== 'complete') {
    throw new TacoError(
      `the dataset in ${folder} is not complete; wait for prepare-data, or run the same command again: it continues where it stopped`,
      { code: 'mismatch', stage: 'batches', path },
    );
  }
  await checkShards(folder, manifest.shards, options.verify ?? 'sizes');
  const { settings, tokenizer, fingerprint } = manifest;
  const splits = {
    train: splitShards(folder, manifest, 'train'),
    validation: splitShards(folder, manifest, 'validation'),
  };
  return {
    folder,
    manifest,
    fingerprint,
    maxSeqLen: settings.maxSeqLen,
    vocabSize: tokenizer.vocabSize,
    specialTokenIds: tokenizer.specialTokenIds,
    rowsPerGroup: settings.rowsPerGroup,
    numRows: (split) => splits[split].numRows,
    numGroups: (split) => splits[split].numGroups,
    placeOf: (split, row) => {
      const { firstRows, firstGroups } = splits[split];
      const shard = lastAtMost(firstRows, row);
      const within = row - firstRows[shard]!;
      const group = Math.floor(within / settings.rowsPerGroup);
      return { group: firstGroups[shard]! + group, row: within - group * settings.rowsPerGroup };
    },
    readGroup: (split, group) => {
      const { firstGroups, readers } = splits[split];
      const shard = lastAtMost(firstGroups, group);
      return readers[shard]!.readGroup(group - firstGroups[shard]!);
    },
  };
}

async function checkShards(
  folder: string,
  shards: readonly ManifestShard[],
  verify: 'sizes' | 'hashes',
): Promise<void> {
  const limit = pLimit(MAX_CONCURRENT_FILES);
  await Promise.all(
    shards.map((shard) =>
      limit(async () => {
        const path = join(folder, shard.file);
        const damage =
          verify === 'hashes' ? await damageOf(folder, shard) : await wrongSize(path, shard.bytes);
        if (damage !== undefined) throw damagedShard(path, `(${damage})`);
      }),
    ),
  );
}

async function wrongSize(path: string, expected: number): Promise<string | undefined> {
  try {
    const { size } = await stat(path);
    return size === expected ? undefined : `${size} bytes, expected ${expected}`;
  } catch (error) {
    throw readError(path, error);
  }
}

function splitShards(folder: string, manifest: Manifest, split: Split): SplitShards {
  const { settings, tokenizer, totals } = manifest;
  const { rowsPerGroup, maxSeqLen } = settings;
  const { vocabSize } = tokenizer;
  const shards = manifest.shards.filter((shard) => shard.split === split && shard.rows > 0);
  const firstRows: number[] = [];
  const firstGroups: number[] = [];
  let numGroups = 0;
  let numRows = 0;
  for (const { file, rows } of shards) {
    // The order of training rows counts on full row groups; validation is read one group after another.
    if (split === 'train' && numRows % rowsPerGroup !== 0) {
      throw new TacoError(
        `${join(folder, manifestFile)} lists ${file} after ${numRows} training rows, expected a multiple of ${rowsPerGroup}; prepare the dataset again`,
        { code: 'corrupt', stage: 'shards', path: join(folder, manifestFile) },
      );
    }
    firstRows.push(numRows);
    firstGroups.push(numGroups);
    numGroups += Math.ceil(rows / rowsPerGroup);
    numRows += rows;
  }
  const expectedRows = split === 'train' ? totals.trainRows : totals.validationRows;
  if (numRows !== expectedRows) {
    throw new TacoError(
      `${join(folder, manifestFile)} lists shards of ${numRows} ${split} rows, its total says ${expectedRows}; prepare the dataset again`,
      { code: 'corrupt', stage: 'shards', path: join(folder, manifestFile) },
    );
  }
  const readers = shards.map(
    ({ file, rows, bytes }) =>
      new ShardReader({ path: join(folder, file), rows, bytes, rowsPerGroup, maxSeqLen, vocabSize }),
  );
  return { numRows, numGroups, firstRows, firstGroups, readers };
}

/** Index of the last entry of an ascending list that is at most `value`. */
function lastAtMost(ascending: readonly number[], value: number): number {
  let low = 0;
  let high = ascending.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (ascending[middle]! <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}
