import { existsSync, readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ByteFile } from '../../../pipeline/sources/byte-file.ts';
import { openParquet, readParquetFiles } from '../../../pipeline/sources/parquet.ts';
import { PageDecoder } from '../../../pipeline/sources/parquet-decode.ts';
import { planRanges } from '../../../pipeline/sources/parquet-plan.ts';
import { START } from '../../../pipeline/sources/source.ts';
import { resolveSource } from '../../../pipeline/sources/resolve.ts';
import type { EncodedDocuments, SourceCursor } from '../../../pipeline/types.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { memoryFile } from '../../support/memory-file.ts';
import { documentsOf, rejectionOf, textOf, textsOf } from '../../support/sources.ts';
import { textParquet } from '../../support/text-parquet.ts';

const FIXTURES = join(import.meta.dirname, '../../fixtures/parquet');
const SAME_ROWS = readdirSync(FIXTURES).filter(
  (name) => name.endsWith('.parquet') && !/malformed|no-rows/.test(name),
);

async function expectedTexts(): Promise<readonly string[]> {
  const lines = (await readFile(join(FIXTURES, 'documents.jsonl'), 'utf8')).trim().split('\n');
  return lines.flatMap((line) => (JSON.parse(line) as { text: string | null }).text || []);
}

async function readMemory(file: ByteFile, from: SourceCursor = START): Promise<readonly string[]> {
  const chunks = readParquetFiles(
    { sizesBytes: [file.sizeBytes], open: () => openParquet(file, 'text') },
    from,
  );
  const texts: string[] = [];
  for await (const chunk of chunks) {
    texts.push(...documentsOf([chunk]).map((bytes) => bytes.toString('utf8')));
  }
  return texts;
}

describe('reading golden files', () => {
  test('there are golden files', () => {
    expect(SAME_ROWS.length).toBeGreaterThanOrEqual(8);
  });

  test.each(SAME_ROWS)('%s', async (name) => {
    const source = await resolveSource(`file:${name}`, { workingFolder: FIXTURES });
    const expected = await expectedTexts();
    expect(expected.length).toBe(270);
    expect(await textsOf(source)).toEqual(expected);
  });

  test.each(['documents.jsonl', 'documents.jsonl.gz', 'documents.jsonl.zst'])('%s', async (name) => {
    const source = await resolveSource(`file:${name}`, { workingFolder: FIXTURES });
    expect(await textsOf(source)).toEqual(await expectedTexts());
  });

  test('resumes at every row of every group', async () => {
    const bytes = await readFile(join(FIXTURES, 'snappy-dictionary-v1.parquet'));
    const lines = (await readFile(join(FIXTURES, 'documents.jsonl'), 'utf8')).trim().split('\n');
    const texts = lines.map((line) => (JSON.parse(line) as { text: string | null }).text ?? '');
    for (let row = 0; row < texts.length; row += 13) {
      const from = { file: 0, group: Math.floor(row / 64), row: row % 64 };
      expect(await readMemory(memoryFile(bytes), from)).toEqual(
        texts.slice(row).filter((text) => text !== ''),
      );
    }
  });

  test('malformed UTF-8 stays as it is, other columns can be named', async () => {
    const broken = await resolveSource('file:malformed-utf8.parquet', { workingFolder: FIXTURES });
    const batches: Buffer[] = [];
    for await (const chunk of broken.read(START)) batches.push(...documentsOf([chunk]));
    expect(batches[1]).toEqual(Buffer.from('br\xffken \xe2\x82', 'latin1'));
    const ids = await resolveSource('file:zstd-plain-v2.parquet#id', { workingFolder: FIXTURES });
    expect((await textsOf(ids)).slice(0, 3)).toEqual(['0', '1', '2']);
  });

  test('no rows, no documents', async () => {
    expect(await textsOf(await resolveSource('file:no-rows.parquet', { workingFolder: FIXTURES }))).toEqual(
      [],
    );
  });

  test.each([
    ['nope', 'not-found', 'has no column nope; its columns are id, score, text, tags: name one with #column'],
    ['score', 'bad-config', 'column score of '],
    ['score', 'bad-config', 'holds DOUBLE, expected text; columns with text: id, text'],
    ['tags', 'bad-config', 'holds nested values, expected text'],
  ])('column %s', async (column, code, message) => {
    const error = await rejectionOf(
      resolveSource(`file:lz4-plain.parquet#${column}`, { workingFolder: FIXTURES }),
    );
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
  });
});

test('a dictionary stays while other pages are decompressed', async () => {
  const firstUnit = async (bytes: Uint8Array): Promise<EncodedDocuments> => {
    const file = memoryFile(bytes);
    const options = { sizesBytes: [file.sizeBytes], open: () => openParquet(file, 'text') };
    for await (const { documents } of readParquetFiles(options, START)) {
      if (documents.kind === 'parquet') return documents;
    }
    throw new Error('expected pages');
  };
  const unit = await firstUnit(await readFile(join(FIXTURES, 'snappy-dictionary-v1.parquet')));
  const other = await firstUnit(await textParquet([{ text: 'another text '.repeat(20_000) }], 1, 'SNAPPY'));
  const [dictionary, page] = unit.pages;
  const decoder = new PageDecoder();
  const seen: string[][] = [];
  for (const values of decoder.decode({ ...unit, pages: [dictionary!, page!, page!] })) {
    seen.push(values.map((value) => Buffer.from(value ?? []).toString()));
    for (const [text] of decoder.decode(other)) expect(text!.length).toBe(260_000);
  }
  expect(seen).toEqual([seen[0], seen[0]]);
});

describe('damage', () => {
  test('a flipped bit under a checksum is found, with its place', async () => {
    const bytes = await readFile(join(FIXTURES, 'snappy-checksums-index.parquet'));
    const clean = memoryFile(bytes);
    const { chunks } = await openParquet(clean, 'text');
    const { startByte, endByte } = chunks[0]!;
    const folder = await temporaryFolder();
    let found = 0;
    for (let place = startByte; place < endByte; place += 97) {
      const spoiled = Buffer.from(bytes);
      spoiled[place]! ^= 0x10;
      const path = join(folder, 'spoiled.parquet');
      await writeFile(path, spoiled);
      const source = await resolveSource(`file:${path}`, {});
      const texts = await textsOf(source).catch((error: unknown) => error);
      if (texts instanceof Error) {
        expect(texts.message).toMatch(
          /spoiled\.parquet is damaged: row group 0, page at byte \d+: .*; fetch it again/,
        );
        found += 1;
      } else {
        // What the checksum leaves out: the statistics in page headers, which nobody reads.
        expect(texts).toEqual(await expectedTexts());
      }
    }
    expect(found).toBeGreaterThan(10);
  });

  test('a file cut anywhere is refused', async () => {
    const bytes = await readFile(join(FIXTURES, 'zstd-plain-v2.parquet'));
    for (let length = 0; length < bytes.length; length += 331) {
      const error = await rejectionOf(openParquet(memoryFile(bytes.subarray(0, length)), 'text'));
      expect(error).toMatchObject({ code: 'corrupt' });
    }
  });
});

describe('what is read', () => {
  const junk = (row: number) => Array.from({ length: 40 }, (_, i) => ((row + 1) * (i + 7919)) ** 2).join('');
  const rows = Array.from({ length: 6000 }, (_, row) => ({
    junk: junk(row),
    text: `document ${row} ${'lorem ipsum '.repeat(row % 40)}`,
  }));

  test('the footer once, and the text column only', async () => {
    const bytes = await textParquet(rows, 500);
    const file = memoryFile(bytes);
    expect(await readMemory(file)).toEqual(rows.map(({ text }) => text));
    const tailStart = bytes.length - 512 * 1024;
    expect(tailStart).toBeGreaterThan(0);
    expect(file.reads[0]).toEqual([tailStart, bytes.length]);
    const { chunks } = await openParquet(memoryFile(bytes), 'text');
    const inText = (start: number, end: number) =>
      chunks.some(({ startByte, endByte }) => startByte <= start && end <= endByte);
    const others = file.reads.slice(1);
    expect(others.length).toBeGreaterThan(2);
    for (const [start, end] of others) expect(inText(start, end)).toBe(true);
    const total = file.reads.reduce((sum, [start, end]) => sum + end - start, 0);
    const textBytes = chunks.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0);
    expect(total).toBeLessThanOrEqual(textBytes + 512 * 1024);
  });

  test('a small file is read by one request', async () => {
    const file = memoryFile(await textParquet(rows.slice(0, 100), 10));
    expect(await readMemory(file)).toEqual(rows.slice(0, 100).map(({ text }) => text));
    expect(file.reads).toEqual([[0, file.sizeBytes]]);
  });

  test('resuming skips what lies before', async () => {
    const bytes = await textParquet(rows, 500);
    const file = memoryFile(bytes);
    const from = { file: 0, group: 10, row: 250 };
    expect(await readMemory(file, from)).toEqual(rows.slice(5250).map(({ text }) => text));
    const { chunks } = await openParquet(memoryFile(bytes), 'text');
    for (const [start] of file.reads.slice(1)) {
      expect(start).toBeGreaterThanOrEqual(chunks[10]!.startByte);
    }
  });
});

test.skipIf(!existsSync('/proc/self/fd'))('leaving early closes the file', async () => {
  const numOpen = () => readdirSync('/proc/self/fd').length;
  const source = await resolveSource('file:*.parquet#text', {
    workingFolder: FIXTURES,
  });
  const before = numOpen();
  for (let round = 0; round < 20; round++) {
    for await (const chunk of source.read(START)) {
      expect(textOf(chunk.documents).ends.length).toBeGreaterThan(0);
      break;
    }
  }
  expect(numOpen()).toBeLessThan(before + 5);
});

describe('planRanges', () => {
  const chunkList = fc
    .array(fc.tuple(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 900 })), { maxLength: 30 })
    .map((steps) => {
      let position = 4;
      return steps.map(([gap, length]) => {
        const startByte = position + gap;
        position = startByte + length;
        return { startByte, endByte: position };
      });
    });

  test('covers every chunk, in order, within the limits', () => {
    fc.assert(
      fc.property(
        chunkList,
        fc.integer({ min: 0, max: 200 }),
        fc.integer({ min: 50, max: 1000 }),
        (chunks, maxGapBytes, maxRangeBytes) => {
          const ranges = planRanges(chunks, { maxGapBytes, maxRangeBytes });
          for (const [index, { startByte, endByte }] of ranges.entries()) {
            expect(endByte).toBeGreaterThan(startByte);
            expect(endByte - startByte).toBeLessThanOrEqual(maxRangeBytes);
            if (index > 0) expect(startByte).toBeGreaterThanOrEqual(ranges[index - 1]!.endByte);
          }
          const covered = (byte: number) =>
            ranges.some(({ startByte, endByte }) => startByte <= byte && byte < endByte);
          for (const { startByte, endByte } of chunks) {
            for (let byte = startByte; byte < endByte; byte += 7) expect(covered(byte)).toBe(true);
            if (endByte > startByte) expect(covered(endByte - 1)).toBe(true);
          }
          const wanted = chunks.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0);
          const asked = ranges.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0);
          expect(asked - wanted).toBeLessThanOrEqual(maxGapBytes * chunks.length);
        },
      ),
    );
  });

  test('joins neighbours and cuts what is long', () => {
    const chunks = [
      { startByte: 0, endByte: 100 },
      { startByte: 110, endByte: 200 },
      { startByte: 400, endByte: 650 },
    ];
    expect(planRanges(chunks, { maxGapBytes: 50, maxRangeBytes: 200 })).toEqual([
      { startByte: 0, endByte: 200 },
      { startByte: 400, endByte: 525 },
      { startByte: 525, endByte: 650 },
    ]);
  });
});

test('a value that is too large for a document is refused with its row', async () => {
  const file = memoryFile(await textParquet([{ text: 'a' }, { text: 'x'.repeat(2 ** 26 + 1) }]));
  const error = await rejectionOf(readMemory(file));
  expect(error.message).toMatch(
    /^row 1 of memory\.parquet is over 64 MiB, expected the text of one document/,
  );
});
