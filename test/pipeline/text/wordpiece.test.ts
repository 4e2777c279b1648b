import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { builtinTokenizer } from '../../../pipeline/text/builtin-vocabulary.ts';
import { Normalizer } from '../../../pipeline/text/normalize.ts';
import { parseTokenizerFiles } from '../../../pipeline/text/tokenizer-files.ts';
import { createSpec } from '../../../pipeline/text/vocabulary.ts';
import { createTokenizer, type Tokenizer } from '../../../pipeline/text/wordpiece.ts';
import {
  type NormalizerOptions,
  readAddedTokens,
  readArticles,
  readCodePoints,
  readDecoded,
  readStrings,
  specOptionsOf,
} from '../../support/tokenizer-fixtures.ts';

const bert = builtinTokenizer();
const strings = readStrings();

const SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];

const isSame = (got: ArrayLike<number>, want: readonly number[]): boolean =>
  got.length === want.length && want.every((id, index) => id === got[index]);

function tokenizerFor(vocabularyName: string, options: NormalizerOptions): Tokenizer {
  const characters = Array.from(strings.characters);
  const vocabulary =
    vocabularyName === 'characters'
      ? [...SPECIAL, ...characters, ...characters.map((character) => `##${character}`)]
      : bert.vocabulary;
  return createTokenizer(createSpec({ vocabulary, ...specOptionsOf(options) }));
}

function chunkOf(documents: readonly Uint8Array[]): { text: Uint8Array; ends: Uint32Array } {
  const text = new Uint8Array(documents.reduce((sum, document) => sum + document.length, 0));
  const ends = new Uint32Array(documents.length);
  let end = 0;
  documents.forEach((document, index) => {
    text.set(document, end);
    end += document.length;
    ends[index] = end;
  });
  return { text, ends };
}

describe('ids equal those of Hugging Face tokenizers', () => {
  test('the fixture has what it must have', () => {
    expect(strings.texts.length).toBeGreaterThanOrEqual(2000);
    expect(new Set(strings.texts.map((text) => Buffer.from(text).toString('hex'))).size).toBe(
      strings.texts.length,
    );
    expect(Object.keys(strings.ids)).toHaveLength(8);
    for (const ids of Object.values(strings.ids)) expect(ids).toHaveLength(strings.texts.length);
    expect(new Set(strings.categories)).toContain('malformed');
  });

  test.each(Object.entries(strings.ids))('hard strings, %s', (name, expected) => {
    const [vocabularyName, settingsName] = name.split('/') as [string, string];
    const tokenizer = tokenizerFor(vocabularyName, strings.settings[settingsName]!);
    // The second round comes from the word cache.
    for (const round of [1, 2]) {
      const wrong = strings.texts.flatMap((text, index) => {
        const got = Array.from(tokenizer.encode(text));
        return isSame(got, expected[index]!)
          ? []
          : [{ round, category: strings.categories[index], index, got, want: expected[index] }];
      });
      expect(wrong).toEqual([]);
    }
  });

  test('hard strings as the documents of one chunk', () => {
    const tokenizer = tokenizerFor('bert-base-uncased', {});
    const { text, ends } = chunkOf(strings.texts);
    const chunk = tokenizer.encodeDocuments(text, ends);
    const expected = strings.ids['bert-base-uncased/uncased']!;
    expect(Array.from(chunk.ids)).toEqual(expected.flat());
    let end = 0;
    expect(Array.from(chunk.ends)).toEqual(expected.map((ids) => (end += ids.length)));
    expect(chunk.numTokens).toBe(expected.flat().length);
    expect(chunk.numUnknown).toBe(expected.flat().filter((id) => id === 100).length);
    expect(chunk.numUnknown).toBeGreaterThan(0);
  });

  test('a word cache of any size changes nothing', () => {
    const tokenizer = createTokenizer(bert, { shortEntries: 2, longEntries: 4 });
    const expected = strings.ids['bert-base-uncased/uncased']!;
    for (const round of ['first', 'second']) {
      strings.texts.forEach((text, index) => {
        expect(Array.from(tokenizer.encode(text)), `${round} round, text ${index}`).toEqual(expected[index]);
      });
    }
  });

  const articles = readArticles();
  test('the articles are in every normal form', () => {
    for (const form of ['NFC', 'NFD', 'NFKC', 'NFKD']) {
      const own = articles.texts.filter((_, index) => articles.names[index]!.endsWith(`, ${form}`));
      expect(own.length).toBeGreaterThan(20);
      for (const text of own) expect(text.normalize(form)).toBe(text);
    }
    expect(new Set(articles.texts).size).toBeGreaterThan(60);
    expect(Object.keys(articles.ids)).toHaveLength(18);
  });

  test.each(Object.entries(articles.ids))(
    'Wikipedia text in NFC, NFD, NFKC and NFKD, %s',
    (name, expected) => {
      const [vocabularyName, settingsName] = name.split('/') as [string, string];
      const vocabulary = articles.vocabularies[vocabularyName] ?? bert.vocabulary;
      const options = specOptionsOf(articles.settings[settingsName]!);
      const tokenizer = createTokenizer(createSpec({ vocabulary, ...options }));
      const got = articles.texts.map((text) => Array.from(tokenizer.encode(text)));
      const wrong = articles.names.filter((_, index) => !isSame(got[index]!, expected[index]!));
      expect(wrong).toEqual([]);
      // Again, as one chunk of documents, with a memory that knows the words and one that forgets most.
      const chunk = chunkOf(articles.texts.map((text) => new TextEncoder().encode(text)));
      const forgetful = createTokenizer(tokenizer.spec, { shortEntries: 8, longEntries: 8 });
      for (const one of [tokenizer, forgetful]) {
        expect(isSame(one.encodeDocuments(chunk.text, chunk.ends).ids, expected.flat())).toBe(true);
      }
    },
  );

  const codePoints = readCodePoints();
  test.each(Object.entries(codePoints.settings))(
    'every code point, alone and between letters, %s',
    (name, { options, ids, normalized }) => {
      const { block } = codePoints;
      const isMain = name === 'uncased' || name === 'cased';
      expect(ids.length * block).toBe(0x11_0000);
      const tokenizer = tokenizerFor('bert-base-uncased', options);
      const wrongBlocks: string[] = [];
      for (let start = 0; start < 0x11_0000; start += block) {
        // Planes 4 to 13 are unassigned, 15 and 16 for private use: two settings are enough there.
        const plane = start >> 16;
        if (!isMain && plane > 3 && plane !== 14) continue;
        const where = `block U+${start.toString(16)}`;
        const documents = codePointDocuments(start, start + block);
        const chunk = tokenizer.encodeDocuments(documents.chunk.text, documents.chunk.ends);
        if (digestOf(chunk.ends, chunk.ids) !== ids[start / block]) wrongBlocks.push(`${where}: ids`);
        const text = normalizeAll(documents.texts, options);
        if (digestOf(text) !== normalized[start / block]) wrongBlocks.push(`${where}: normalised text`);
      }
      expect(wrongBlocks).toEqual([]);
    },
  );

  const added = readAddedTokens();
  test.each(Object.entries(added.variants))('added tokens, %s', (_, { tokenizer: json, ids }) => {
    const bytes = new TextEncoder().encode(JSON.stringify(json));
    const spec = parseTokenizerFiles(
      { tokenizerJson: { path: 'tokenizer.json', bytes }, vocabText: null, tokenizerConfig: null },
      'fixture',
    );
    const tokenizer = createTokenizer(spec);
    const wrong = added.texts.flatMap((text, index) => {
      const got = Array.from(tokenizer.encode(text));
      return JSON.stringify(got) === JSON.stringify(ids[index]) ? [] : [{ text, got, want: ids[index] }];
    });
    expect(added.texts.length).toBeGreaterThan(500);
    expect(wrong).toEqual([]);
  });
});

/** Each code point of a range alone, and between letters. */
function codePointDocuments(start: number, end: number) {
  const texts: string[] = [];
  const ends: number[] = [];
  let numBytes = 0;
  for (let codePoint = start; codePoint < end; codePoint += 1) {
    if (codePoint >= 0xd800 && codePoint < 0xe000) continue;
    const character = String.fromCodePoint(codePoint);
    texts.push(character, `a${character}b`);
    const size = codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x1_0000 ? 3 : 4;
    ends.push(numBytes + size, numBytes + size + 1 + size + 1);
    numBytes += 2 * size + 2;
  }
  const text = new TextEncoder().encode(texts.join(''));
  expect(text.length).toBe(numBytes);
  return { texts, chunk: { ...chunkOf([]), text, ends: Uint32Array.from(ends) } };
}

/** Code points of the normalised texts, a line feed between two. */
function normalizeAll(texts: readonly string[], options: NormalizerOptions): Uint32Array {
  const result: number[] = [];
  const normalizer = new Normalizer(specOptionsOf(options), { push: (codePoint) => result.push(codePoint) });
  texts.forEach((text, index) => {
    if (index > 0) result.push(0x0a);
    for (let at = 0; at < text.length; at += text.codePointAt(at)! > 0xffff ? 2 : 1) {
      normalizer.push(text.codePointAt(at)!);
    }
    normalizer.end();
  });
  return Uint32Array.from(result);
}

function digestOf(...arrays: readonly (Int32Array | Uint32Array)[]): string {
  const hash = createHash('sha256');
  for (const array of arrays) hash.update(array);
  return hash.digest('hex').slice(0, 16);
}

describe('encode', () => {
  const tokenizer = createTokenizer(bert);

  test('a string and its bytes have the same ids', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(tokenizer.encode(text)).toEqual(tokenizer.encode(new TextEncoder().encode(text)));
      }),
    );
  });

  test('malformed bytes read as a text decoder reads them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
        expect(tokenizer.encode(bytes)).toEqual(tokenizer.encode(text));
      }),
      { numRuns: 2000 },
    );
  });

  test('documents of a chunk do not see each other', () => {
    const document = fc.oneof(
      fc.uint8Array({ maxLength: 12 }),
      fc.constantFrom('[MASK', ']', 'a', '\u0301', '[SEP]').map((text) => new TextEncoder().encode(text)),
    );
    fc.assert(
      fc.property(fc.array(document), (documents) => {
        const { text, ends } = chunkOf(documents);
        const chunk = tokenizer.encodeDocuments(text, ends);
        const apart = documents.map((one) => Array.from(tokenizer.encode(one)));
        expect(Array.from(chunk.ids)).toEqual(apart.flat());
      }),
    );
  });

  test('large documents have the ids of any vocabulary', () => {
    const words = Array.from({ length: 70_000 }, (_, index) => `w${index}`);
    const large = createTokenizer(createSpec({ vocabulary: [...SPECIAL, ...words] }));
    const text = Buffer.from('w69999 w7 '.repeat(500_000));
    const { ids, numUnknown } = large.encodeDocuments(text, Uint32Array.of(text.length));
    expect([ids.length, numUnknown]).toEqual([1_000_000, 0]);
    expect(ids.every((id, index) => id === (index % 2 === 0 ? 70_004 : 12))).toBe(true);
  });

  test('a document of more tokens than any text has is refused, named by how it begins', () => {
    const dots = Buffer.alloc(25 << 20, '.');
    dots.write('what is "this" ');
    const encode = (): unknown => tokenizer.encodeDocuments(dots, Uint32Array.of(10, dots.length));
    expect(encode).toThrow(
      /^a document has over 25165824 tokens \(it begins with "his\\" \.{55}"\), expected text; split it or leave it out$/,
    );
    expect(encode).toThrow(expect.objectContaining({ code: 'corrupt' }) as Error);
  });

  test('results do not change when the next text is encoded', () => {
    const first = tokenizer.encode('first text');
    const copy = first.slice();
    tokenizer.encode('quite another one');
    expect(first).toEqual(copy);
  });
});

describe('decode', () => {
  const tokenizer = createTokenizer(bert);

  test('equals Hugging Face', () => {
    const rows = readDecoded();
    expect(rows.length).toBeGreaterThan(50);
    for (const { ids, text, withoutSpecial } of rows) {
      expect(tokenizer.decode(ids)).toBe(text);
      expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(withoutSpecial);
    }
  });

  test('refuses ids outside the vocabulary', () => {
    expect(() => tokenizer.decode([30522])).toThrow(/token id is 30522, expected a whole number below 30522/);
    expect(() => tokenizer.decode([-1])).toThrow(RangeError);
  });
});
