import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { WordScanner } from '../../../pipeline/text/word-scanner.ts';

/** Space and line feed have no id; the others are words by themselves. */
const separators = new Map([
  [0x20, -1],
  [0x0a, -1],
  [0x2e, 7],
  [0x5b, 8],
  [0x7f, 9],
]);

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

const createScanner = (numEntries: number, foldsCase: boolean): WordScanner =>
  new WordScanner({ numEntries, foldsCase, separators });

/** One or two ids that tell the word, none for words of one `~`, four for those that begin with `^`. */
function idsOf(word: Uint8Array, foldsCase: boolean): number[] {
  const text = Buffer.from(word).toString('latin1');
  if (text === '~') return [];
  const known = foldsCase ? text.replace(/[A-Z]/g, (letter) => letter.toLowerCase()) : text;
  const sum = Buffer.from(known, 'latin1').reduce((hash, byte) => (Math.imul(hash, 31) + byte) | 0, 5) >>> 1;
  return text.startsWith('^') ? [sum, 1, 2, 3] : [sum, word.length].slice(0, 1 + (sum & 1));
}

/** All ids of a text: those of the scanner, and of `idsOf` where it stops; says how often it stopped. */
function run(scanner: WordScanner, text: Uint8Array, ends: readonly number[], foldsCase: boolean) {
  scanner.reserve(text.length);
  scanner.text.set(text);
  let [start, count, stops] = [0, 0, 0];
  for (const end of ends) {
    let at = scanner.scan(start, end, count);
    while (at < end) {
      const wordStart = at;
      while (at < end && !separators.has(text[at]!)) at += 1;
      expect(at, 'it stops at words alone').toBeGreaterThan(wordStart);
      const from = scanner.count;
      const ids = idsOf(text.subarray(wordStart, at), foldsCase);
      scanner.ids.set(ids, from);
      const isKept = scanner.remember(wordStart, at - wordStart, from, from + ids.length);
      expect(isKept).toBe(at - wordStart <= 15 && ids.length <= 3);
      stops += 1;
      at = scanner.scan(at, end, from + ids.length);
    }
    count = scanner.count;
    start = end;
  }
  return { ids: Array.from(scanner.ids.subarray(0, count)), stops };
}

/** The same, byte by byte. */
function expectedIds(text: Uint8Array, ends: readonly number[], foldsCase: boolean): number[] {
  const ids: number[] = [];
  let start = 0;
  for (const end of ends) {
    let wordStart = start;
    for (let at = start; at <= end; at += 1) {
      if (at < end && !separators.has(text[at]!)) continue;
      if (at > wordStart) ids.push(...idsOf(text.subarray(wordStart, at), foldsCase));
      const id = at < end ? separators.get(text[at]!)! : -1;
      if (id >= 0) ids.push(id);
      wordStart = at + 1;
    }
    start = end;
  }
  return ids;
}

const byte = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(0, ...bytesOf('aAzZbB@`{~^')) },
  { weight: 3, arbitrary: fc.constantFrom(...separators.keys()) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 255 }) },
);
const document = fc.oneof(
  fc.array(byte, { maxLength: 60 }),
  fc.array(fc.constantFrom(...bytesOf('ab ')), { maxLength: 60 }),
  fc.integer({ min: 1, max: 40 }).map((length) => new Array<number>(length).fill(0x61)),
);

describe('WordScanner', () => {
  test.each([
    [2, true],
    [2, false],
    [16, true],
    [1024, false],
    [1024, true],
  ])('finds every id, whatever it remembers: %i entries, folds case: %s', (numEntries, foldsCase) => {
    const scanner = createScanner(numEntries, foldsCase);
    fc.assert(
      fc.property(fc.array(document, { maxLength: 8 }), (documents) => {
        const text = Uint8Array.from(documents.flat());
        let end = 0;
        const ends = documents.map(({ length }) => (end += length));
        const expected = expectedIds(text, ends, foldsCase);
        for (const round of [1, 2]) {
          expect(run(scanner, text, ends, foldsCase).ids, `round ${round}`).toEqual(expected);
        }
      }),
      { numRuns: 1500 },
    );
  });

  test('stops once at each word that it can keep, in either case', () => {
    const scanner = createScanner(1024, true);
    const text = bytesOf('one two.One TWO [fifteen letters fifteenletters_ sixteen-letters_');
    const ends = [text.length];
    expect(run(scanner, text, ends, true).stops).toBe(6);
    // The word of sixteen bytes is not kept.
    expect(run(scanner, text, ends, true).stops).toBe(1);
    expect(run(createScanner(1024, false), text, ends, false).stops).toBe(8);
  });

  test('two words of one hash are both remembered, a third replaces the older', () => {
    const scanner = createScanner(2, false);
    const stopsOf = (text: string): number => run(scanner, bytesOf(text), [text.length], false).stops;
    expect(stopsOf('one two')).toBe(2);
    expect(stopsOf('one two')).toBe(0);
    expect(stopsOf('three two')).toBe(1);
    expect(stopsOf('three two')).toBe(0);
    expect(stopsOf('one')).toBe(1);
  });

  test('bytes of an earlier text behind the end play no part', () => {
    const scanner = createScanner(1024, false);
    run(scanner, bytesOf('word longer.longer'), [18], false);
    const text = bytesOf('word long');
    expect(run(scanner, text, [9], false).ids).toEqual(expectedIds(text, [9], false));
  });

  test('room grows, and what is remembered stays', () => {
    const scanner = createScanner(1024, false);
    run(scanner, bytesOf('word'), [4], false);
    const text = bytesOf('word '.repeat(100_000));
    const { ids, stops } = run(scanner, text, [text.length], false);
    expect(stops).toBe(0);
    expect(ids).toEqual(expectedIds(text, [text.length], false));
    expect(scanner.ids.length).toBeGreaterThan(text.length);
  });
});
