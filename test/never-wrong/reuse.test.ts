import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
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

const fixtures = join(import.meta.dirname, '../fixtures/parquet');

let home = '';
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'taco-reuse-'));
  await writeVocabulary(join(home, 'letters.txt'));
  for (const [index, compression] of (['SNAPPY', 'UNCOMPRESSED'] as const).entries()) {
    const texts = unevenTexts(index);
    await writeJsonLines(join(home, `${compression}.jsonl`), texts);
    await writePages(join(home, `${compression}.parquet`), compression, texts);
  }
});
afterAll(() => rm(home, { recursive: true, force: true }));

/** Short documents with longer ones between them, one above what a thread tokenizes at a time: some 3 MB. */
function unevenTexts(seed: number): string[] {
  const random = new Random(seed);
  const [long] = makeTexts({ documents: 1, maxWords: 1, seed });
  const filler = makeTexts({ documents: 4000, maxWords: 200, seed }).join(' ');
  return Array.from({ length: 1200 }, (_, index) => {
    const length = index % 700 === 699 ? 2_200_000 : random.below(index % 20 === 0 ? 30_000 : 400);
    const start = random.below(filler.length - length);
    return `${long} ${filler.slice(start, start + length)}`;
  });
}

/** Small pages: a chunk has many, and there are many chunks. */
async function writePages(
  path: string,
  compression: 'SNAPPY' | 'UNCOMPRESSED',
  texts: readonly string[],
): Promise<void> {
  const file = createWriteStream(path);
  const writer = await openTextParquet(file, ['text'], { rowGroupSize: 23, compression });
  for (const text of texts) await writer.appendRow({ text });
  await writer.close();
  await finished(file);
}

interface Prepared {
  readonly hashes: Readonly<Record<string, string>>;
  /** How often memory that had come back was taken. */
  readonly numUsedAgain: number;
}

interface Preparation {
  readonly paths: readonly string[];
  readonly workers: number;
  /** What happens to memory that comes back. */
  readonly spares: 'left alone' | 'overwritten' | 'used again';
}

async function prepared({ paths, workers, spares }: Preparation): Promise<Prepared> {
  const give = vi.spyOn(SpareMemory.prototype, 'give');
  const takes = [vi.spyOn(SpareMemory.prototype, 'take'), vi.spyOn(SpareMemory.prototype, 'takeBytes')];
  if (spares !== 'used again') {
    give.mockImplementation((memory) => {
      if (spares === 'overwritten') new Uint8Array(memory).fill(0);
    });
  }
  try {
    const out = join(home, `out-${workers}-${spares}`);
    const sources = paths.map((path) => `file:${path}`);
    await prepareToEnd(mixedConfig(home, { sources, workers, out, rowsPerShard: 4096, maxSeqLen: 128 }));
    const givenAt = new Map<unknown, number>();
    for (const [call, [memory]] of give.mock.calls.entries()) {
      if (!givenAt.has(memory)) givenAt.set(memory, give.mock.invocationCallOrder[call]!);
    }
    const usedAgain = takes.flatMap(({ mock }) =>
      mock.results.filter(
        ({ value }, call) => mock.invocationCallOrder[call]! > (givenAt.get(value) ?? Infinity),
      ),
    );
    const hashes = Object.entries(await hashesBelow(out)).filter(([path]) => path.endsWith('.parquet'));
    return { hashes: Object.fromEntries(hashes), numUsedAgain: usedAgain.length };
  } finally {
    for (const spy of [give, ...takes]) spy.mockRestore();
  }
}

it('memory that is used again while many uneven chunks are under way changes no byte', async () => {
  const below = (...names: string[]): string[] => names.map((name) => join(home, name));
  // The same documents on another way, too, where every run would be wrong alike.
  const lines = [
    ...below('SNAPPY.jsonl', 'UNCOMPRESSED.jsonl', 'SNAPPY.jsonl'),
    join(fixtures, 'documents.jsonl'),
  ];
  const pages = [
    ...below('SNAPPY.parquet', 'UNCOMPRESSED.parquet', 'SNAPPY.jsonl'),
    join(fixtures, 'snappy-dictionary-v1.parquet'),
  ];
  const fresh = await prepared({ paths: lines, workers: 0, spares: 'left alone' });
  expect(fresh.numUsedAgain).toBe(0);
  expect(Object.keys(fresh.hashes).length).toBeGreaterThan(8);
  const overwritten = await prepared({ paths: pages, workers: 2, spares: 'overwritten' });
  expect(overwritten.hashes).toEqual(fresh.hashes);
  for (const workers of [0, 2, 3]) {
    const reused = await prepared({ paths: pages, workers, spares: 'used again' });
    expect(reused.numUsedAgain).toBeGreaterThan(100);
    expect(reused.hashes).toEqual(fresh.hashes);
  }
});
