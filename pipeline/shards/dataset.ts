import { TacoError } from '../errors.ts';
import { createHub, type Hub } from '../sources/hub-client.ts';
import { hubFromEnvironment } from '../sources/hub.ts';
import type { SourceContext } from '../sources/source.ts';
import { readTokenizerFiles } from '../text/tokenizer-files.ts';
import { type TokenizerSpec, tokenizerFingerprint } from '../text/vocabulary.ts';
import type { SpecialTokenIds } from '../types.ts';
import { type Manifest, type ManifestShard, manifestFile, parseManifest, type Split } from './manifest.ts';
import { ShardReader, type TokenRows } from './reader.ts';
import { DamagedShard, missingShard } from './shard-source.ts';
import { type DatasetStorage, openStorage } from './storage.ts';

/** A prepared dataset, open for reading: in a folder or on the Hub. Holds nothing that needs closing. */
export interface Dataset {
  /** Opens the very same dataset again: its folder, or `hub:org/name@<commit>`, however a branch has moved. */
  readonly reference: string;
  /** What to do about damaged files: ends a message. */
  readonly remedy: string;
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
   * @throws TacoError `not-found`, `disk`, `network`, or `corrupt` naming file and offset
   */
  readGroup(split: Split, group: number): Promise<TokenRows>;
  /**
   * The tokenizer that the rows were made with, from the dataset's own files.
   * @throws TacoError `not-found`, `corrupt`, `disk`, `network`
   */
  readTokenizer(): Promise<TokenizerSpec>;
  /** The shards one by one. */
  readonly shards: readonly DatasetShard[];
  /**
   * Shards that are missing (`undefined`) or differ in size or, on the Hub, in hash, by file, in words. Reads none.
   * @throws TacoError `disk`, `network`
   */
  compareShards(): Promise<ReadonlyMap<string, string | undefined>>;
  /**
   * Reads what preparation keeps to go on with, which is not on the Hub. What differs from the manifest, by name, in words.
   * @throws TacoError `disk`
   */
  compareState(): Promise<ReadonlyMap<string, string>>;
}

/** A shard of the manifest and how to read it. */
export interface DatasetShard {
  readonly shard: ManifestShard;
  readonly reader: ShardReader;
  /** How messages call it. */
  readonly name: string;
}

export interface OpenDatasetOptions {
  /** Opens the Hub, for a `hub:` reference. Default: that of `HF_ENDPOINT`, with `HF_TOKEN`. */
  readonly connect?: () => Hub;
  /** False: open it although shards are missing or of another size, to find out which. Default true. */
  readonly checkShards?: boolean;
  /** True: open what is there of an unfinished preparation. Default false. */
  readonly unfinished?: boolean;
}

interface SplitShards {
  readonly numRows: number;
  readonly numGroups: number;
  /** [num shards] row and row group of the split at which each shard begins. */
  readonly firstRows: readonly number[];
  readonly firstGroups: readonly number[];
  readonly readers: readonly ShardReader[];
  readonly files: readonly ManifestShard[];
}

/**
 * Opens a dataset that prepare-data made and checks that it is whole: manifest, status, every shard's size.
 * @param reference its folder, or `hub:org/name[@revision]`
 * @throws TacoError `not-found` without a manifest or shard, `mismatch` when preparation is unfinished or the
 *   manifest is of another version, `corrupt` when something is not what the manifest says; on the Hub also
 *   `forbidden` and `network`
 */
export async function openDataset(reference: string, options: OpenDatasetOptions = {}): Promise<Dataset> {
  const { connect = environmentHub, checkShards = true, unfinished = false } = options;
  const storage = await openStorage(reference, () => connect());
  const path = storage.nameOf(manifestFile);
  const bytes = await storage.readFile(manifestFile);
  if (bytes === undefined) {
    throw new TacoError(
      `there is no dataset in ${storage.reference} (${manifestFile} is missing); ${storage.absence}`,
      { code: 'not-found', stage: 'batches', path },
    );
  }
  const manifest = parseManifest(Buffer.from(bytes).toString('utf8'), path);
  if (manifest.status !== 'complete' && !unfinished) {
    throw new TacoError(
      `the dataset in ${storage.reference} is not complete; wait for prepare-data, or run the same command again: it continues where it stopped`,
      { code: 'mismatch', stage: 'batches', path },
    );
  }
  if (checkShards) await requireShards(storage, manifest.shards);
  return datasetOf(storage, manifest);
}

/** The Hub of `HF_ENDPOINT`, with `HF_TOKEN`. */
export function environmentHub(onWait?: SourceContext['onWait']): Hub {
  return createHub({ ...hubFromEnvironment(process.env), onWait });
}

async function requireShards(storage: DatasetStorage, shards: readonly ManifestShard[]): Promise<void> {
  for (const [file, damage] of await storage.compare(shards)) {
    const name = storage.nameOf(file);
    if (damage === undefined) throw missingShard(name, storage.remedy);
    throw new DamagedShard(name, `(${damage})`, storage.remedy);
  }
}

function datasetOf(storage: DatasetStorage, manifest: Manifest): Dataset {
  const { settings, tokenizer, fingerprint } = manifest;
  const splits = {
    train: splitShards(storage, manifest, 'train'),
    validation: splitShards(storage, manifest, 'validation'),
  };
  return {
    reference: storage.reference,
    remedy: storage.remedy,
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
    readTokenizer: () => readTokenizer(storage, manifest),
    compareShards: () => storage.compare(manifest.shards),
    compareState: async () => {
      const damages = await storage.compareState(manifest.seen);
      return new Map(Array.from(damages, ([file, damage]) => [storage.nameOf(file), damage]));
    },
    shards: [splits.train, splits.validation].flatMap(({ files, readers }) =>
      files.map((shard, index) => ({ shard, reader: readers[index]!, name: storage.nameOf(shard.file) })),
    ),
  };
}

async function readTokenizer(storage: DatasetStorage, manifest: Manifest): Promise<TokenizerSpec> {
  const read = async (file: string) => {
    const bytes = await storage.readFile(file);
    return bytes === undefined ? null : { path: storage.nameOf(file), bytes };
  };
  const tokenizer = await readTokenizerFiles(read, storage.reference);
  if (tokenizerFingerprint(tokenizer) !== manifest.tokenizer.fingerprint) {
    throw new TacoError(
      `the tokenizer in ${storage.reference} is not the one that its rows were made with; ${storage.tokenizerRemedy}`,
      { code: 'corrupt', stage: 'train', path: storage.reference },
    );
  }
  return tokenizer;
}

function splitShards(storage: DatasetStorage, manifest: Manifest, split: Split): SplitShards {
  const { settings, tokenizer, totals } = manifest;
  const { rowsPerGroup, maxSeqLen } = settings;
  const { vocabSize } = tokenizer;
  const path = storage.nameOf(manifestFile);
  const shards = manifest.shards.filter((shard) => shard.split === split && shard.rows > 0);
  const firstRows: number[] = [];
  const firstGroups: number[] = [];
  let numGroups = 0;
  let numRows = 0;
  for (const { file, rows } of shards) {
    // The order of training rows counts on full row groups; validation is read one group after another.
    if (split === 'train' && numRows % rowsPerGroup !== 0) {
      throw new TacoError(
        `${path} lists ${file} after ${numRows} training rows, expected a multiple of ${rowsPerGroup}; prepare the dataset again`,
        { code: 'corrupt', stage: 'shards', path },
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
      `${path} lists shards of ${numRows} ${split} rows, its total says ${expectedRows}; prepare the dataset again`,
      { code: 'corrupt', stage: 'shards', path },
    );
  }
  const readers = shards.map((shard) => {
    const { file, rows, bytes } = shard;
    const expectation = { path: storage.nameOf(file), rows, bytes, rowsPerGroup, maxSeqLen, vocabSize };
    return new ShardReader(expectation, storage.shard(shard));
  });
  return { numRows, numGroups, firstRows, firstGroups, readers, files: shards };
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
