import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { RowGroup } from '../../pipeline/pack.ts';
import { Random } from '../../pipeline/random.ts';
import { ShardWriter, type WrittenShard } from '../../pipeline/shards/writer.ts';

/** Rows of random ids below `vocabSize`. */
export function randomGroup(rows: number, maxSeqLen: number, seed: number, vocabSize = 30_522): RowGroup {
  const random = new Random(seed);
  const ids = new Int32Array(rows * maxSeqLen).map(() => random.below(vocabSize));
  return { split: 'train', ids, rows, tokens: ids.length };
}

/** Writes one training shard into a folder. */
export async function writeShard(folder: string, groups: readonly RowGroup[]): Promise<WrittenShard> {
  await mkdir(join(folder, 'train'), { recursive: true });
  const writer = await ShardWriter.create(folder, 'train', 0);
  for (const group of groups) await writer.write(group);
  return writer.finish();
}

/** What the golden shard holds. */
export function goldenGroups(): RowGroup[] {
  return [randomGroup(4, 16, 1), randomGroup(4, 16, 2, 10), randomGroup(1, 16, 3, 1)];
}
