import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../pipeline/random.ts';
import type { SeenFile } from '../../../pipeline/shards/manifest.ts';
import { SeenDocuments } from '../../../pipeline/shards/seen-documents.ts';
import { temporaryFolder } from '../../support/folders.ts';

/** Hashes of made-up documents: equal numbers, equal hashes. Number 0 has the hash that is all zero. */
function hashesOf(documents: readonly number[]): Uint32Array {
  return Uint32Array.from(
    documents.flatMap((document) => {
      if (document === 0) return [0, 0, 0, 0];
      const random = new Random(document);
      // Many share the first lane, which chooses the slot.
      return [random.below(4), random.uint32(), random.uint32(), random.uint32()];
    }),
  );
}

function addAll(seen: SeenDocuments, documents: readonly number[]): boolean[] {
  const hashes = hashesOf(documents);
  return documents.map((_, index) => seen.add(hashes, index));
}

/** What a set says, which needs all memory. */
function firstTimes(documents: readonly number[], known: readonly number[] = []): boolean[] {
  const set = new Set(known);
  return documents.map((document) => set.size < set.add(document).size);
}

const lists = fc.array(fc.integer({ min: 0, max: 1500 }), { maxLength: 3000 });

describe('documents seen before', () => {
  it.each([256, 1 << 20])('are those of a set, with at most %i in memory', async (maxSlots) => {
    await fc.assert(
      fc.asyncProperty(lists, async (documents) => {
        const seen = await SeenDocuments.open(await temporaryFolder(), [], { maxSlots });
        expect(addAll(seen, documents)).toEqual(firstTimes(documents));
        seen.close();
      }),
      { numRuns: 20 },
    );
  });

  it('go to the disk when there are many, and leave nothing there', async () => {
    const folder = await temporaryFolder();
    const seen = await SeenDocuments.open(folder, [], { maxSlots: 256 });
    addAll(
      seen,
      Array.from({ length: 1000 }, (_, index) => index),
    );
    expect((await readdir(join(folder, 'seen'))).length).toBeGreaterThan(2);
    seen.close();
    expect(await readdir(join(folder, 'seen'))).toEqual([]);
  });

  it('are known again to a run that goes on from any commit', async () => {
    const folder = await temporaryFolder();
    const parts = Array.from({ length: 5 }, (_, part) =>
      Array.from({ length: 400 }, (__, index) => (part * 311 + index * 17) % 1200),
    );
    const first = await SeenDocuments.open(folder, [], { maxSlots: 256 });
    const files: SeenFile[] = [];
    for (const part of parts) {
      addAll(first, part);
      files.push(await first.takeFresh()());
    }
    first.close();
    expect(files.map(({ file }) => file)).toEqual([0, 1, 2, 3, 4].map((index) => `seen/0000${index}.bin`));
    expect(files.reduce((sum, { documents }) => sum + documents, 0)).toBe(new Set(parts.flat()).size);
    for (let count = 0; count < parts.length; count += 1) {
      const again = await SeenDocuments.open(folder, files.slice(0, count), { maxSlots: 256 });
      const known = parts.slice(0, count).flat();
      expect(addAll(again, parts[count]!)).toEqual(firstTimes(parts[count]!, known));
      expect(await again.takeFresh()()).toEqual(files[count]);
      again.close();
    }
  });

  it('are refused when a file of them is altered or missing', async () => {
    const folder = await temporaryFolder();
    const seen = await SeenDocuments.open(folder, []);
    addAll(seen, [1, 2, 3]);
    const file = await seen.takeFresh()();
    await writeFile(join(folder, file.file), new Uint8Array(48));
    await expect(SeenDocuments.open(folder, [file])).rejects.toMatchObject({ code: 'corrupt' });
    await rm(join(folder, file.file));
    await expect(SeenDocuments.open(folder, [file])).rejects.toMatchObject({ code: 'corrupt' });
  });
});
