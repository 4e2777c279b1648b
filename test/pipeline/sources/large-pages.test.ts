import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { type PageHeader, parquetMetadata } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { describe, expect, it } from 'vitest';
import { createPrepareConfig } from '../../../pipeline/config.ts';
import { readManifest } from '../../../pipeline/shards/manifest.ts';
import {
  isDictionaryPage,
  isStreamed,
  type PageFacts,
  readDictionary,
  requireChecksum,
  valuesOf,
} from '../../../pipeline/sources/large-pages.ts';
import { openParquet, readParquetFiles } from '../../../pipeline/sources/parquet.ts';
import { numValuesOf, PageDecoder } from '../../../pipeline/sources/parquet-decode.ts';
import { resolveSource } from '../../../pipeline/sources/resolve.ts';
import { START } from '../../../pipeline/sources/source.ts';
import type { EncodedDocuments, SourceCursor } from '../../../pipeline/types.ts';
import { hashesBelow, temporaryFolder } from '../../support/folders.ts';
import { memoryFile } from '../../support/memory-file.ts';
import { prepareToEnd } from '../../support/preparations.ts';
import { findPython } from '../../support/python.ts';
import { documentsOf, rejectionOf } from '../../support/sources.ts';
import { textParquet } from '../../support/text-parquet.ts';

const FIXTURES = join(import.meta.dirname, '../../fixtures/parquet');
const NAMES = readdirSync(FIXTURES).filter(
  (name) => name.endsWith('.parquet') && !/malformed|no-rows/.test(name),
);

function encoded(bytes: Uint8Array): AsyncIterable<EncodedDocuments> {
  const file = memoryFile(bytes);
  const chunks = readParquetFiles(
    { sizesBytes: [file.sizeBytes], open: () => openParquet(file, 'text') },
    START,
  );
  return (async function* () {
    for await (const { documents } of chunks) if (documents.kind === 'parquet') yield documents;
  })();
}

/** Pieces of uneven sizes. */
async function* cut(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (let size = 1; at < bytes.length; size = (size * 7 + 3) % 401) {
    yield await Promise.resolve(bytes.subarray(at, at + size));
    at += size;
  }
}

interface FoundPage {
  readonly facts: PageFacts;
  readonly body: Uint8Array;
  readonly expected: readonly (string | null)[];
}

/** Bytes as text that compares. */
function latin1(values: readonly (Uint8Array | null | undefined)[]): readonly (string | null)[] {
  return values.map((value) => (value == null ? null : Buffer.from(value).toString('latin1')));
}

/** Every page of a unit, with what the whole-page decoder makes of it. */
function pagesOf(unit: EncodedDocuments): readonly FoundPage[] {
  const decoded = [...new PageDecoder().decode(unit)];
  const isRequired = unit.schemaPath.at(-1)!.element.repetition_type === 'REQUIRED';
  return unit.pages.map((page) => {
    const bytes = unit.bytes.subarray(page.start, page.end);
    const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), offset: 0 };
    const header = parquetHeader(reader);
    const facts = { ...page, name: unit.name, header, isRequired };
    const expected = isDictionaryPage(header) ? [] : latin1(decoded.shift()!);
    return { facts, body: bytes.subarray(reader.offset), expected };
  });
}

async function textsOf(page: FoundPage, skip: number, body = page.body): Promise<(string | null)[]> {
  const texts: (string | null)[] = [];
  for await (const values of valuesOf(page.facts, skip, cut(body))) {
    texts.push(...latin1(values));
  }
  return texts;
}

/** Behind the last value there may be nulls that nobody misses. */
function withoutTail(texts: readonly (string | null)[]): readonly (string | null)[] {
  return texts.slice(0, texts.findLastIndex((text) => text !== null) + 1);
}

const isPlain = ({ facts: { header } }: FoundPage): boolean =>
  (header.data_page_header ?? header.data_page_header_v2)?.encoding === 'PLAIN';

describe('pages of golden files, decoded while they are read', () => {
  it.each(NAMES)('%s: the values that decoding a whole page gives, from any row on', async (name) => {
    let numPages = 0;
    let numDictionaries = 0;
    for await (const unit of encoded(await readFile(join(FIXTURES, name)))) {
      for (const page of pagesOf(unit)) {
        if (isDictionaryPage(page.facts.header)) {
          const dictionary = await readDictionary(page.facts, cut(page.body));
          expect(dictionary.length).toBeGreaterThan(0);
          // Pages that come without their dictionary are decoded with it.
          const own = unit.pages.filter(({ group }) => group === page.facts.group);
          const decode = (pages: typeof own, known?: typeof dictionary) =>
            [...new PageDecoder().decode({ ...unit, pages }, known)].flatMap(latin1);
          expect(decode(own.slice(1), dictionary)).toEqual(decode(own));
          numDictionaries += 1;
        }
        if (!isPlain(page) || page.facts.codec.startsWith('LZ4')) continue;
        const count = numValuesOf(page.facts.header);
        for (const skip of [0, 1, count >> 1, count - 1]) {
          expect(await textsOf(page, skip)).toEqual(withoutTail(page.expected.slice(skip)));
        }
        numPages += 1;
      }
    }
    if (/plain/.test(name) && !name.startsWith('lz4')) expect(numPages).toBeGreaterThan(0);
    if (/dictionary/.test(name)) expect(numDictionaries).toBeGreaterThan(0);
  });

  it('damage is an error with its place', async () => {
    let numFound = 0;
    for (const name of ['zstd-plain-v2.parquet', 'required-large-string.parquet']) {
      for await (const unit of encoded(await readFile(join(FIXTURES, name)))) {
        for (const page of pagesOf(unit).filter(isPlain)) {
          for (const length of [0, 3, page.body.length >> 1, page.body.length - 1]) {
            const error = await rejectionOf(textsOf(page, 0, page.body.slice(0, length)));
            expect(error.message).toMatch(
              /^memory\.parquet is damaged: row group \d+, page at byte \d+: .+; fetch it again$/,
            );
            numFound += 1;
          }
        }
      }
    }
    expect(numFound).toBeGreaterThan(8);
  });

  it('checksums are compared, of pages and of dictionaries', async () => {
    let numDictionaries = 0;
    for await (const unit of encoded(await readFile(join(FIXTURES, 'snappy-checksums-index.parquet')))) {
      for (const { facts, body } of pagesOf(unit)) {
        const spoiled = Uint8Array.from(body);
        spoiled[spoiled.length - 1]! ^= 1;
        await requireChecksum(facts, facts.header.crc!, cut(body));
        const damaged = [requireChecksum(facts, facts.header.crc!, cut(spoiled))];
        if (isDictionaryPage(facts.header)) {
          damaged.push(readDictionary(facts, cut(spoiled)).then(() => undefined));
          numDictionaries += 1;
        }
        for (const fate of damaged) {
          expect((await rejectionOf(fate)).message).toMatch(/page at byte \d+: its checksum is wrong/);
        }
      }
    }
    expect(numDictionaries).toBeGreaterThan(0);
  });
});

/** A page of PLAIN values. */
function plainPage(values: readonly Uint8Array[]): { body: Uint8Array; header: PageHeader } {
  const body = Buffer.concat(
    values.flatMap((value) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(value.length);
      return [length, value];
    }),
  );
  const header: PageHeader = {
    type: 'DATA_PAGE',
    uncompressed_page_size: body.length,
    compressed_page_size: body.length,
    crc: crc32(body) | 0,
    data_page_header: {
      num_values: values.length,
      encoding: 'PLAIN',
      definition_level_encoding: 'RLE',
      repetition_level_encoding: 'RLE',
    },
  };
  return { body, header };
}

const place = { name: 'f.parquet', group: 2, fileOffset: 40, firstRow: 100, isRequired: true } as const;

describe('a page', () => {
  it('with a value too large for a document is refused by its row, before there is memory for it', async () => {
    const { body, header } = plainPage([Buffer.from('a'), Buffer.from('b')]);
    new DataView(body.buffer, body.byteOffset).setUint32(5, 65 << 20, true);
    const page: FoundPage = { facts: { ...place, header, codec: 'UNCOMPRESSED' }, body, expected: [] };
    expect((await rejectionOf(textsOf(page, 0))).message).toMatch(/^row 101 of f\.parquet is over 64 MiB/);
  });

  const sized = (bytes: number, change: Partial<PageFacts> = {}, encoding = 'PLAIN'): PageFacts => {
    const { header } = plainPage([]);
    const data_page_header = { ...header.data_page_header!, encoding: encoding as 'PLAIN' };
    return {
      ...place,
      codec: 'SNAPPY',
      header: { ...header, uncompressed_page_size: bytes, data_page_header },
      ...change,
    };
  };
  const dictionary = (bytes: number, codec: PageFacts['codec'] = 'SNAPPY'): PageFacts => {
    const dictionary_page_header = { num_values: 2, encoding: 'PLAIN', is_sorted: false } as const;
    const header: PageHeader = {
      type: 'DICTIONARY_PAGE',
      uncompressed_page_size: bytes,
      compressed_page_size: 100,
      dictionary_page_header,
    };
    return { ...place, header, codec };
  };

  it('is decoded while it is read when it is large and can be', () => {
    expect(isStreamed(sized(33e6))).toBe(false);
    expect(isStreamed(sized(34e6))).toBe(true);
    expect(isStreamed(sized(2e9))).toBe(true);
    expect(isStreamed(sized(34e6, { codec: 'LZ4' }))).toBe(false);
    expect(isStreamed(sized(34e6, {}, 'DELTA_BYTE_ARRAY'))).toBe(false);
    expect(isStreamed(dictionary(8e6))).toBe(false);
    expect(isStreamed(dictionary(9e6))).toBe(true);
  });

  it.each([
    [
      sized(600e6, { codec: 'LZ4_RAW' }),
      'row group 2 of f.parquet has a page (LZ4_RAW, PLAIN) of 600 MB at byte 40, expected at most 101 MB',
    ],
    [sized(600e6, {}, 'DELTA_LENGTH_BYTE_ARRAY'), 'has a page (SNAPPY, DELTA_LENGTH_BYTE_ARRAY) of 600 MB'],
    [dictionary(300e6), 'has a dictionary of 300 MB at byte 40, expected at most 252 MB'],
    [dictionary(200e6, 'LZ4'), 'has a dictionary of 200 MB at byte 40, expected at most 101 MB'],
  ])('that would not fit into memory is refused in one line', (page, message) => {
    expect(() => isStreamed(page)).toThrow(message);
    expect(() => isStreamed(page)).toThrow(/; write the file again with smaller row groups$/);
  });
});

describe('a file with a page above 32 MiB', () => {
  /** Short, long and empty ones; the long ones reach across ranges. */
  const documents = [
    ...Array.from({ length: 40 }, (_, i) => `short ${i}`),
    ...Array.from({ length: 6 }, (_, i) => `${i} `.padEnd(6_100_000 + i, 'long ')),
    '',
    'last',
  ];
  const kept = documents.filter((text) => text !== '');
  const digest = (texts: readonly string[]) => texts.map((text) => `${text.length} ${text.slice(0, 12)}`);

  it('gives its documents as text, whole, and goes on from any of them', async () => {
    const file = memoryFile(await textParquet(documents.map((text) => ({ text }))));
    const read = async (from: SourceCursor) => {
      const texts: string[] = [];
      const cursors: SourceCursor[] = [];
      const options = { sizesBytes: [file.sizeBytes], open: () => openParquet(file, 'text') };
      for await (const chunk of readParquetFiles(options, from)) {
        expect(chunk.documents.kind).toBe('text');
        texts.push(...documentsOf([chunk]).map((bytes) => bytes.toString()));
        cursors.push(chunk.next);
      }
      return { texts, cursors };
    };
    const whole = await read(START);
    expect(whole.texts.length).toBe(kept.length);
    expect(whole.texts.every((text, index) => text === kept[index])).toBe(true);
    expect(whole.cursors.map(({ row }) => row)).toEqual([40, 41, 42, 43, 44, 45, 46, 0]);
    expect(Math.max(...file.reads.map(([start, end]) => end - start))).toBeLessThan(9e6);
    for (const [index, cursor] of whole.cursors.entries()) {
      const rest = await read(cursor);
      expect(digest(rest.texts)).toEqual(digest(kept.slice(40 + index, index === 7 ? 40 : undefined)));
      expect(rest.cursors).toEqual(whole.cursors.slice(index + 1));
    }
    // A row that no chunk ends with.
    expect(digest((await read({ file: 0, group: 0, row: 7 })).texts)).toEqual(digest(kept.slice(7)));
  });
});

/** Arguments: file, then JSON: how many documents of so many bytes, how often each, and how they are written. */
const WRITE = `
import sys, json, random, pyarrow as pa, pyarrow.parquet as pq
path, (count, size, times, options) = sys.argv[1], json.loads(sys.argv[2])
draw = random.Random(5)
words = [str(draw.random()) for _ in range(5000)]
rows = [(f'{i} ' + words[i] * (size // 10))[:size] for i in range(count)] * times
rows.insert(3, None)
pq.write_table(pa.table({'text': rows}), path, row_group_size=len(rows), **options)
`;

describe('files of pyarrow', () => {
  async function written(skip: (why: string) => never, ...form: readonly unknown[]) {
    const python = findPython(['pyarrow']);
    if (python === undefined) return skip('no Python with pyarrow');
    const path = join(await temporaryFolder(), 'large.parquet');
    execFileSync(python, ['-c', WRITE, path, JSON.stringify(form)]);
    return path;
  }

  async function prepared(path: string, workers: number) {
    const out = join(await temporaryFolder(), 'out');
    const tokenizer = 'bert-base-uncased';
    const settings = { maxSeqLen: 512, validation: '0%', workers, out, tokenizer };
    await prepareToEnd(createPrepareConfig({ sources: [`file:${path}`], ...settings }));
    const all = Object.entries(await hashesBelow(out));
    const shards = all.filter(([name]) => name.endsWith('.parquet'));
    return { shards, totals: (await readManifest(out))!.totals };
  }

  it('with a large dictionary give its documents as often as they are referred to', async ({ skip }) => {
    const path = await written(skip, 16, 600_000, 3, {});
    const metadata = parquetMetadata(await readFile(path));
    expect(metadata.row_groups[0]!.columns[0]!.meta_data!.dictionary_page_offset).toBeDefined();
    const plain = await written(skip, 16, 600_000, 3, { use_dictionary: false, data_page_size: 1 << 20 });
    const expected = await prepared(plain, 0);
    expect(expected.totals.documents).toBe(48);
    for (const workers of [0, 2]) expect((await prepared(path, workers)).shards).toEqual(expected.shards);
  });

  it('with a large page and a checksum give nothing of a page that is damaged', async ({ skip }) => {
    const options = { use_dictionary: false, write_page_checksum: true, compression: 'none' };
    const path = await written(skip, 8, 4_400_000, 1, options);
    const chunks = async () => {
      const texts: string[] = [];
      const source = await resolveSource(`file:${path}`, {});
      const failure = await (async () => {
        for await (const chunk of source.read(START)) texts.push(...documentsOf([chunk]).map(String));
      })().catch((error: unknown) => error as Error);
      return { texts, failure };
    };
    const whole = await chunks();
    expect(whole.failure).toBeUndefined();
    expect(whole.texts.map((text) => text.length)).toEqual(Array.from({ length: 8 }, () => 4_400_000));
    const bytes = await readFile(path);
    bytes[30_000_000]! ^= 2;
    await writeFile(path, bytes);
    const { texts, failure } = await chunks();
    expect(failure?.message).toMatch(
      /large\.parquet is damaged: row group 0, page at byte 4: its checksum is wrong/,
    );
    expect(texts).toEqual([]);
  });
});
