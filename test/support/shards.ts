import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { RowGroup } from '../../pipeline/pack.ts';
import { Random } from '../../pipeline/random.ts';
import { encodeListPages } from '../../pipeline/shards/page.ts';
import { type PageEncoder, ShardWriter, type WrittenShard } from '../../pipeline/shards/writer.ts';

/** Rows of random ids below `vocabSize`. */
export function randomGroup(rows: number, maxSeqLen: number, seed: number, vocabSize = 30_522): RowGroup {
  const random = new Random(seed);
  const ids = new Int32Array(rows * maxSeqLen).map(() => random.below(vocabSize));
  return { split: 'train', ids, rows, tokens: ids.length };
}

/** Encodes in the calling thread. */
export const encoder: PageEncoder = {
  encode: (groups) => Promise.resolve(encodeListPages(groups)),
};

/** Writes one training shard into a folder. */
export async function writeShard(folder: string, groups: readonly RowGroup[]): Promise<WrittenShard> {
  await mkdir(join(folder, 'train'), { recursive: true });
  const writer = await ShardWriter.create(folder, 'train', 0, encoder);
  for (const group of groups) await writer.write(group);
  return writer.finish();
}

/** What the golden shard holds: ids of every size, repeating ids, and a last row of padding alone. */
export function goldenGroups(): RowGroup[] {
  const group = (rows: number, idOf: (index: number) => number): RowGroup => {
    const ids = Int32Array.from({ length: 16 * rows }, (_, index) => idOf(index));
    return { split: 'train', ids, rows, tokens: ids.length };
  };
  return [
    group(4, (index) => (index * index * 7919) % 30_522),
    group(4, (index) => 100 + (index % 3)),
    group(1, () => 0),
  ];
}
