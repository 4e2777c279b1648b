import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  chunkDocuments,
  type DocumentBatch,
  MAX_CHUNK_BYTES,
  MAX_CHUNK_DOCUMENTS,
} from '../../../pipeline/sources/chunker.ts';
import type { SourceChunk } from '../../../pipeline/sources/source.ts';
import { documentsOf, summariesOf, textOf } from '../../support/sources.ts';

/** Documents by length, -1 for null; cut into batches of given sizes; rows before `from` are left out. */
async function* batchesOf(
  lengths: readonly number[],
  batchSize: number,
  from: number,
): AsyncGenerator<DocumentBatch> {
  for (let start = from; start < lengths.length; start += batchSize) {
    const rows = lengths.slice(start, start + batchSize);
    await Promise.resolve();
    yield {
      documents: rows.map((length, index) =>
        length < 0 ? null : new Uint8Array(length).fill((start + index) % 251),
      ),
      cursorAfter: (count) => ({ file: 0, group: 0, row: start + count }),
      inputBytesAfter: (count) => start + count,
    };
  }
}

async function chunk(lengths: readonly number[], batchSize: number, from = 0): Promise<SourceChunk[]> {
  const end = { cursor: { file: 1, group: 0, row: 0 }, totalBytes: lengths.length };
  const chunks: SourceChunk[] = [];
  for await (const one of chunkDocuments(batchesOf(lengths, batchSize, from), end)) chunks.push(one);
  return chunks;
}

describe('chunkDocuments', () => {
  test('every document once, in order, within the bounds', async () => {
    const lengths = fc.array(
      fc.oneof(fc.integer({ min: -1, max: 50 }), fc.integer({ min: 0, max: MAX_CHUNK_BYTES + 10_000 })),
      { maxLength: 30 },
    );
    await fc.assert(
      fc.asyncProperty(lengths, fc.integer({ min: 1, max: 40 }), async (rows, batchSize) => {
        const chunks = await chunk(rows, batchSize);
        const expected = rows.flatMap((length, row) => (length > 0 ? [{ length, byte: row % 251 }] : []));
        const found = documentsOf(chunks).map((bytes) => ({ length: bytes.length, byte: bytes[0] }));
        expect(found).toEqual(expected);
        for (const { documents } of chunks) {
          const { ends, text } = textOf(documents);
          expect(ends.length).toBeLessThanOrEqual(MAX_CHUNK_DOCUMENTS);
          expect(text.length <= MAX_CHUNK_BYTES || ends.length === 1).toBe(true);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('borders do not depend on how documents were batched', async () => {
    const lengths = Array.from({ length: 300 }, (_, row) => (row * 7919) % 20_011);
    const whole = summariesOf(await chunk(lengths, 300));
    expect(whole.length).toBeGreaterThan(3);
    for (const batchSize of [1, 7, 64]) expect(summariesOf(await chunk(lengths, batchSize))).toEqual(whole);
  });

  test('reading again from any chunk gives the same tail', async () => {
    const lengths = Array.from({ length: 200 }, (_, row) => (row % 9 === 0 ? -1 : (row * 7919) % 30_011));
    const whole = await chunk(lengths, 16);
    expect(whole.length).toBeGreaterThan(4);
    for (const [index, { next }] of whole.slice(0, -1).entries()) {
      expect(summariesOf(await chunk(lengths, 16, next.row))).toEqual(summariesOf(whole.slice(index + 1)));
    }
  });

  test('closes at the bound of documents', async () => {
    const chunks = await chunk(
      Array.from({ length: MAX_CHUNK_DOCUMENTS + 3 }, () => 1),
      1000,
    );
    expect(chunks.map(({ documents }) => textOf(documents).ends.length)).toEqual([MAX_CHUNK_DOCUMENTS, 3]);
  });

  test('the last chunk ends at the end, behind empty documents', async () => {
    const [only, ...others] = await chunk([3, -1, 0], 10);
    expect(others).toEqual([]);
    expect(only).toMatchObject({ next: { file: 1, group: 0, row: 0 }, inputBytes: 3 });
    expect(await chunk([-1, 0], 10)).toEqual([]);
  });
});
