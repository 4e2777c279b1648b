import { createWriteStream } from 'node:fs';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { Random } from '../../pipeline/random.ts';
import { SpareMemory } from '../../pipeline/spare-memory.ts';
import { hashesBelow } from '../support/folders.ts';
import { mixedConfig, prepareToEnd } from '../support/preparations.ts';
import { openTextParquet } from '../support/text-parquet.ts';
import { makeTexts, writeJsonLines, writeVocabulary } from '../support/texts.ts';

let home = '';
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'taco-reuse-'));
  await writeVocabulary(join(home, 'letters.txt'));
  await writeJsonLines(join(home, 'texts.jsonl'), unevenTexts(3));
  await writePages(join(home, 'snappy.parquet'), 'SNAPPY', 4);
  await writePages(join(home, 'stored.parquet'), 'UNCOMPRESSED', 5);
  const dictionary = join(import.meta.dirname, '../fixtures/parquet/snappy-dictionary-v1.parquet');
  await copyFile(dictionary, join(home, 'dictionary.parquet'));
});
afterAll(() => rm(home, { recursive: true, force: true }));

/** Short documents with longer ones between them, one above what a thread tokenizes at a time: some 3 MB. */
function unevenTexts(seed: number): string[] {
  const random = new Random(seed);
  const [long] = makeTexts({ documents: 1, maxWords: 1, seed });
  const filler = makeTexts({ documents: 4000, maxWords: 200, seed }).join(' ');
  return Array.from({ length: 800 }, (_, index) => {
    const length = index % 700 === 699 ? 2_200_000 : random.below(index % 20 === 0 ? 30_000 : 400);
    const start = random.below(filler.length - length);
    return `${long} ${filler.slice(start, start + length)}`;
  });
}

/** Small pages: a chunk has many, and there are many chunks. */
async function writePages(path: string, compression: 'SNAPPY' | 'UNCOMPRESSED', seed: number): Promise<void> {
  const file = createWriteStream(path);
  const writer = await openTextParquet(file, ['text'], { rowGroupSize: 23, compression });
  for (const text of unevenTexts(seed)) await writer.appendRow({ text });
  await writer.close();
  await finished(file);
}

interface Prepared {
  readonly hashes: Readonly<Record<string, string>>;
  /** How often memory came back that had come back before, as far as this thread sees: what is sent to another looks new. */
  readonly numUsedAgain: number;
}

/** @param isReused whether memory that comes back is used again */
async function prepared(workers: number, isReused: boolean): Promise<Prepared> {
  const give = vi.spyOn(SpareMemory.prototype, 'give');
  if (!isReused) give.mockReturnValue(undefined);
  try {
    const out = join(home, `out-${workers}-${isReused}`);
    const sources = ['texts.jsonl', '*.parquet'].map((name) => `1:file:${join(home, name)}`);
    await prepareToEnd(mixedConfig(home, { sources, workers, out, rowsPerShard: 4096, maxSeqLen: 128 }));
    const given = give.mock.calls.map(([memory]): unknown => memory);
    return { hashes: await hashesBelow(out), numUsedAgain: given.length - new Set(given).size };
  } finally {
    give.mockRestore();
  }
}

it('memory that is used again while many uneven chunks are under way changes no byte', async () => {
  const fresh = await prepared(0, false);
  expect(fresh.numUsedAgain).toBe(0);
  expect(Object.keys(fresh.hashes).length).toBeGreaterThan(8);
  for (const workers of [0, 2, 3]) {
    const reused = await prepared(workers, true);
    expect(reused.numUsedAgain).toBeGreaterThan(2);
    expect(reused.hashes).toEqual(fresh.hashes);
  }
});
