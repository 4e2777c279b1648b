import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Random } from '../../pipeline/random.ts';
import {
  type Manifest,
  type ManifestShard,
  type Split,
  writeManifest,
} from '../../pipeline/shards/manifest.ts';
import { ShardWriter } from '../../pipeline/shards/writer.ts';
import type { Batch } from '../../pipeline/types.ts';
import { cursorAt, manifestWith } from './manifests.ts';
import { encoder } from './shards.ts';

export interface DatasetShape {
  readonly maxSeqLen: number;
  readonly rowsPerGroup: number;
  /** Rows of each shard. */
  readonly train: readonly number[];
  readonly validation?: readonly number[];
  /** Default 30,522. */
  readonly vocabSize?: number;
  /** Other seed, other fingerprint. Default 42. */
  readonly seed?: number;
  /** Number of the first row of each split, so that rows of several datasets can be told apart. Default 0. */
  readonly firstRow?: number;
  /** Tokens before the padding of a row. Default: all of them. */
  readonly lengthOf?: (split: Split, row: number) => number;
}

const [PAD, CLS, SEP] = [0, 101, 102];
const FIRST_WORD = 1000;

/**
 * The ids of a made-up row: [CLS], the row's number in three digits of base 100, pseudo-random words, [SEP],
 * padding. The number makes every row of a split another one.
 */
export function rowIds(shape: DatasetShape, split: Split, row: number): Int32Array<ArrayBuffer> {
  const { maxSeqLen, vocabSize = 30_522, lengthOf = () => maxSeqLen } = shape;
  const random = new Random(split === 'train' ? 1 : 2, row);
  const length = lengthOf(split, row);
  const ids = new Int32Array(maxSeqLen).fill(PAD);
  for (let i = 0; i < length; i += 1) ids[i] = FIRST_WORD + random.below(vocabSize - FIRST_WORD);
  for (let i = 1, rest = row; i <= 3 && i < length; i += 1) {
    ids[i] = FIRST_WORD + (rest % 100);
    rest = Math.floor(rest / 100);
  }
  if (length > 0) ids[0] = CLS;
  if (length > 4) ids[length - 1] = SEP;
  return ids;
}

/** Writes a dataset as prepare-data does, with made-up rows. */
export async function writeDataset(folder: string, shape: DatasetShape): Promise<Manifest> {
  const {
    maxSeqLen,
    rowsPerGroup,
    train,
    validation = [],
    vocabSize = 30_522,
    seed = 42,
    firstRow = 0,
  } = shape;
  const shards: ManifestShard[] = [];
  let tokens = 0;
  for (const [split, sizes] of [['train', train] as const, ['validation', validation] as const]) {
    await mkdir(join(folder, split), { recursive: true });
    let next = firstRow;
    for (const [index, rows] of sizes.entries()) {
      const writer = await ShardWriter.create(folder, split, index, encoder);
      for (let done = 0; done < rows; done += rowsPerGroup) {
        const count = Math.min(rowsPerGroup, rows - done);
        const ids = new Int32Array(count * maxSeqLen);
        for (let i = 0; i < count; i += 1) ids.set(rowIds(shape, split, next + i), i * maxSeqLen);
        const groupTokens = ids.filter((id) => id !== PAD).length;
        await writer.write({ split, ids, rows: count, tokens: groupTokens });
        next += count;
        tokens += groupTokens;
      }
      shards.push({ ...(await writer.finish()), end: cursorAt(next) });
    }
  }
  const total = (sizes: readonly number[]): number => sizes.reduce((sum, rows) => sum + rows, 0);
  const base = manifestWith();
  const manifest = manifestWith({
    status: 'complete',
    settings: { ...base.settings, maxSeqLen, rowsPerGroup, rowsPerShard: Math.max(...train, 1), seed },
    tokenizer: { ...base.tokenizer, vocabSize },
    shards,
    totals: { ...base.totals, tokens, trainRows: total(train), validationRows: total(validation) },
  });
  await writeManifest(folder, manifest);
  return manifest;
}

/** The ids of a batch's rows before masking. */
export function originalIds({ inputIds, maskedPositions, maskedLabels }: Batch): Int32Array {
  const ids = inputIds.slice();
  for (const [i, position] of maskedPositions.entries()) ids[position] = maskedLabels[i]!;
  return ids;
}

/** The row's number in each row of a batch, as `rowIds` wrote it. */
export function rowNumbers(batch: Batch): number[] {
  const ids = originalIds(batch);
  return Array.from({ length: batch.batchSize }, (_, row) => {
    const digit = (i: number): number => ids[row * batch.maxSeqLen + i]! - FIRST_WORD;
    return digit(1) + 100 * digit(2) + 10_000 * digit(3);
  });
}
