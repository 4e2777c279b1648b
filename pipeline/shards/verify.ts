import { createHash } from 'node:crypto';
import { TacoError } from '../errors.ts';
import { prefetch } from '../sources/prefetch.ts';
import type { Dataset, DatasetShard } from './dataset.ts';
import type { ManifestShard } from './manifest.ts';
import { DamagedShard } from './shard-source.ts';

export type VerifyEvent =
  | {
      readonly kind: 'progress';
      /** Being read. */
      readonly file: string;
      readonly doneBytes: number;
      readonly totalBytes: number;
    }
  | {
      readonly kind: 'damaged';
      /** Path, or path and repository. */
      readonly name: string;
      /** Undefined for what preparation keeps to go on with. */
      readonly shard: ManifestShard | undefined;
      /** In words: `missing`, `at byte 4, row group 0: …`. */
      readonly damage: string;
    };

export interface VerifyOptions {
  /** Which shards; unless given all, and what preparation keeps to go on with. */
  readonly shards?: readonly DatasetShard[];
  readonly signal?: AbortSignal | undefined;
}

/** Read at once; row groups are much smaller and, on the Hub, each request takes its time. */
const BLOCK_BYTES = 4 * 1024 * 1024;
const READ_AHEAD = 3;

/**
 * Reads shards whole, once: sizes, sha256, and every row group with its checksums, levels and ids. A shard is left
 * at its first damage. Of a folder also the hashes of documents seen, for `--dedup exact`.
 * @param dataset may have been opened without a check of its shards
 * @throws TacoError `disk`, `network`; the signal's reason
 */
export async function* verifyDataset(
  dataset: Dataset,
  options: VerifyOptions = {},
): AsyncGenerator<VerifyEvent, void> {
  const { shards = dataset.shards, signal } = options;
  if (options.shards === undefined) {
    for (const [name, damage] of await dataset.compareState()) {
      yield { kind: 'damaged', name, shard: undefined, damage };
    }
  }
  const known = await dataset.compareShards();
  const totalBytes = shards.reduce((sum, { shard }) => sum + shard.bytes, 0);
  let doneBytes = 0;
  for (const entry of shards) {
    signal?.throwIfAborted();
    const { shard, name } = entry;
    const { file } = shard;
    let damage = known.has(file) ? (known.get(file) ?? 'missing') : undefined;
    if (damage === undefined) {
      const reading = readShard(entry, signal);
      let step = await reading.next();
      for (; step.done !== true; step = await reading.next()) {
        yield { kind: 'progress', file, doneBytes: doneBytes + step.value, totalBytes };
      }
      damage = step.value;
    }
    doneBytes += shard.bytes;
    if (damage === undefined) continue;
    yield { kind: 'damaged', name, shard, damage };
    yield { kind: 'progress', file, doneBytes, totalBytes };
  }
}

/** @returns what is wrong; undefined when nothing is. Yields the bytes read so far. */
async function* readShard(
  { shard, reader }: DatasetShard,
  signal: AbortSignal | undefined,
): AsyncGenerator<number, string | undefined> {
  const hash = createHash('sha256');
  try {
    const blocks = blocksOf(await partsOf(reader, shard));
    const tasks = blocks.map((parts) => () => reader.readBytes(parts[0]!.start, parts.at(-1)!.end));
    let index = 0;
    for await (const bytes of prefetch(tasks, READ_AHEAD)) {
      signal?.throwIfAborted();
      const parts = blocks[index]!;
      index += 1;
      for (const { start, end, group } of parts) {
        const part = bytes.subarray(start - parts[0]!.start, end - parts[0]!.start);
        hash.update(group === undefined ? part : (await reader.decodeGroup(group, part)).bytes);
      }
      yield parts.at(-1)!.end;
    }
  } catch (error) {
    if (error instanceof DamagedShard) return error.damage;
    if (error instanceof TacoError && error.code === 'not-found') return 'missing';
    throw error;
  }
  const sha256 = hash.digest('hex');
  return sha256 === shard.sha256
    ? undefined
    : `altered content, its sha256 is ${sha256}, expected ${shard.sha256}`;
}

/** Bytes [start, end) of a shard: a row group, or what lies between two. */
interface Part {
  readonly start: number;
  readonly end: number;
  readonly group: number | undefined;
}

async function partsOf(reader: DatasetShard['reader'], { bytes }: ManifestShard): Promise<readonly Part[]> {
  const parts: Part[] = [];
  let end = 0;
  for (let group = 0; group < reader.numGroups; group += 1) {
    const range = await reader.rangeOf(group);
    if (range.start > end) parts.push({ start: end, end: range.start, group: undefined });
    parts.push({ ...range, group });
    end = range.end;
  }
  if (end < bytes) parts.push({ start: end, end: bytes, group: undefined });
  return parts;
}

function blocksOf(parts: readonly Part[]): readonly (readonly Part[])[] {
  const blocks: Part[][] = [];
  let block: Part[] = [];
  for (const part of parts) {
    block.push(part);
    if (part.end - block[0]!.start < BLOCK_BYTES) continue;
    blocks.push(block);
    block = [];
  }
  if (block.length > 0) blocks.push(block);
  return blocks;
}
