import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createPrepareConfig, type PrepareInput } from '../../pipeline/config.ts';
import type { Tokenizer } from '../../pipeline/text/wordpiece.ts';
import { offline, prepareToEnd, rowsIn, tokenizerFrom } from '../support/preparations.ts';
import { textParquet } from '../support/text-parquet.ts';
import { writeJsonLines, writeVocabulary } from '../support/texts.ts';

const [PAD, CLS, SEP] = [0, 2, 3];
const RUNS = 25;

let home = '';
let tokenizer: Tokenizer;
let numFolders = 0;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'taco-tokens-'));
  await writeVocabulary(join(home, 'letters.txt'));
  tokenizer = await tokenizerFrom(join(home, 'letters.txt'));
});
afterAll(() => rm(home, { recursive: true, force: true }));

/** Texts of every kind: empty, blank, unknown characters, special tokens spelt out, long ones. */
const text = fc.oneof(
  { weight: 6, arbitrary: fc.string({ unit: fc.constantFrom(...Array.from('abc éß, ')), maxLength: 60 }) },
  { weight: 1, arbitrary: fc.constantFrom('', ' ', '[SEP]', 'a [CLS] b', '\u4e2d\u{1f600}', '\u0301') },
  { weight: 1, arbitrary: fc.string({ unit: 'grapheme', maxLength: 20 }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 400 }).map((length) => 'ab '.repeat(length)) },
);
const texts = fc.array(text, { maxLength: 25 });

/** How documents are spread over sources, files and formats. */
const layout = fc.record({
  format: fc.constantFrom('jsonl' as const, 'parquet' as const),
  numFiles: fc.integer({ min: 1, max: 3 }),
  numSources: fc.integer({ min: 1, max: 2 }),
});
type Layout = typeof layout extends fc.Arbitrary<infer T> ? T : never;

async function writeFiles(folder: string, documents: readonly string[], { format, numFiles }: Layout) {
  await mkdir(folder);
  const perFile = Math.ceil(documents.length / numFiles);
  for (let file = 0; file < numFiles; file += 1) {
    const part = documents.slice(file * perFile, (file + 1) * perFile);
    const path = join(folder, `${file}.${format}`);
    const rows = part.map((value) => ({ text: value }));
    await (format === 'jsonl' ? writeJsonLines(path, part) : writeFile(path, await textParquet(rows, 4)));
  }
}

/** The rows of documents, at least one of which has tokens. */
async function prepareDocuments(
  documents: readonly string[],
  settings: PrepareInput,
  where: Layout = { format: 'jsonl', numFiles: 1, numSources: 1 },
): Promise<{ train: number[][]; validation: number[][] }> {
  numFolders += 1;
  const folder = join(home, String(numFolders));
  await mkdir(folder);
  const half = Math.ceil(documents.length / where.numSources);
  const sources: string[] = [];
  for (let source = 0; source < where.numSources; source += 1) {
    const path = join(folder, `source-${source}`);
    await writeFiles(path, documents.slice(source * half, (source + 1) * half), where);
    sources.push(`file:${path}`);
  }
  const config = createPrepareConfig({
    sources,
    tokenizer: join(home, 'letters.txt'),
    maxSeqLen: 16,
    rowsPerShard: 8,
    rowsPerGroup: 4,
    workers: 0,
    out: join(folder, 'out'),
    ...settings,
  });
  await prepareToEnd(config, offline);
  const rows = {
    train: await rowsIn(config.out, 'train'),
    validation: await rowsIn(config.out, 'validation'),
  };
  await rm(folder, { recursive: true });
  return rows;
}

/** [CLS] ids [SEP] of each document that has any. */
function framed(documents: readonly string[]): number[][] {
  return documents
    .map((document) => tokenizer.encode(document))
    .filter((ids) => ids.length > 0)
    .map((ids) => [CLS, ...ids, SEP]);
}

/** The rows of a document for itself: pieces with their own [CLS] and [SEP], padded. */
function ownRows(document: string): number[][] {
  const ids = Array.from(tokenizer.encode(document));
  const pieces = Array.from({ length: Math.ceil(ids.length / 14) }, (_, i) => ids.slice(i * 14, i * 14 + 14));
  return pieces.map((piece) => {
    const row = [CLS, ...piece, SEP];
    return [...row, ...new Array<number>(16 - row.length).fill(PAD)];
  });
}

/** Whether two streams, each in order, are made of the documents, each whole in one of them. */
function isDealtInto(
  documents: readonly number[][],
  [first, second]: readonly [number[], number[]],
): boolean {
  /** Where the first stream can be after the documents so far; the second is then where the rest of them ends. */
  let places = new Set([0]);
  let total = 0;
  for (const document of documents) {
    const next = new Set<number>();
    const startsAt = (stream: number[], at: number): boolean =>
      document.every((id, index) => stream[at + index] === id);
    for (const place of places) {
      if (startsAt(first, place)) next.add(place + document.length);
      if (startsAt(second, total - place)) next.add(place);
    }
    places = next;
    total += document.length;
  }
  return places.has(first.length) && total === first.length + second.length;
}

function withoutPadding(rows: readonly number[][]): number[] {
  const ids = rows.flat();
  const end = ids.findLastIndex((id) => id !== PAD) + 1;
  return ids.slice(0, end);
}

describe('every token of every document', () => {
  it('is in the rows once and in order, with [CLS] and [SEP] in their places, whatever the documents', async () => {
    await fc.assert(
      fc.asyncProperty(texts, layout, async (others, where) => {
        const documents = [...others, 'a row'];
        const { train } = await prepareDocuments(documents, { validation: 0 }, where);
        expect(withoutPadding(train)).toEqual(framed(documents).flat());
        const numIds = framed(documents).flat().length;
        expect(train.length).toBe(Math.ceil(numIds / 16));
      }),
      { numRuns: RUNS },
    );
  });

  it('is in one split and no other', async () => {
    await fc.assert(
      fc.asyncProperty(texts, layout, fc.nat(1000), async (others, where, seed) => {
        const documents = [...others, ...Array.from({ length: 12 }, (_, i) => `a${'b'.repeat(i)} c`)];
        const { train, validation } = await prepareDocuments(documents, { validation: '50%', seed }, where);
        const streams = [withoutPadding(train), withoutPadding(validation)] as const;
        expect(isDealtInto(framed(documents), [...streams])).toBe(true);
      }),
      { numRuns: RUNS },
    );
  });

  it('is in the rows of its own document alone when those are packed apart', async () => {
    await fc.assert(
      fc.asyncProperty(texts, layout, async (others, where) => {
        const documents = [...others, 'a row'];
        const settings = { packing: 'documents', validation: 0 } as const;
        const { train } = await prepareDocuments(documents, settings, where);
        expect(train).toEqual(documents.flatMap(ownRows));
      }),
      { numRuns: RUNS },
    );
  });

  it('is dropped with --remainder drop only where the last row does not fill up', async () => {
    await fc.assert(
      fc.asyncProperty(texts, async (others) => {
        const documents = [...others, 'abc '.repeat(16)];
        const { train } = await prepareDocuments(documents, { validation: 0, remainder: 'drop' });
        const ids = framed(documents).flat();
        expect(train.flat()).toEqual(ids.slice(0, ids.length - (ids.length % 16)));
      }),
      { numRuns: RUNS },
    );
  });
});

describe('another text in the place of one document', () => {
  const change = fc
    .tuple(fc.array(text, { minLength: 1, maxLength: 15 }), fc.nat(1000), text)
    .map(([documents, place, replacement]) => ({
      before: [...documents, 'a row'],
      after: [...documents.with(place % documents.length, replacement), 'a row'],
      index: place % documents.length,
    }));

  it('changes its own rows alone when documents are packed apart', async () => {
    await fc.assert(
      fc.asyncProperty(change, fc.constantFrom(0, '50%'), async ({ before, after, index }, validation) => {
        const settings = { packing: 'documents', validation } as const;
        const more = ['b row', 'c row', 'd row', 'e row', 'f row', 'g row', 'h row', 'i row'];
        const alone = await prepareDocuments([...before.toSpliced(index, 1), ...more], settings);
        for (const documents of [before, after]) {
          const rows = await prepareDocuments([...documents, ...more], settings);
          for (const split of ['train', 'validation'] as const) {
            const own = ownRows(documents[index]!);
            const begin = rows[split].findIndex((row, at) => String(row) !== String(alone[split][at]));
            const isElsewhere = rows[split].length === alone[split].length;
            const rest = isElsewhere ? rows[split] : rows[split].toSpliced(begin, own.length);
            expect(rest).toEqual(alone[split]);
          }
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('leaves every row before it as it was when documents follow each other', async () => {
    await fc.assert(
      fc.asyncProperty(change, async ({ before, after, index }) => {
        const [first, second] = [
          await prepareDocuments(before, { validation: 0 }),
          await prepareDocuments(after, { validation: 0 }),
        ];
        const numRows = Math.floor(framed(before.slice(0, index)).flat().length / 16);
        expect(second.train.slice(0, numRows)).toEqual(first.train.slice(0, numRows));
      }),
      { numRuns: RUNS },
    );
  });
});
