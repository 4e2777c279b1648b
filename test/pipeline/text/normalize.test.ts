import { describe, expect, test } from 'vitest';
import { Normalizer, type NormalizerSettings } from '../../../pipeline/text/normalize.ts';
import {
  combiningRank,
  DECOMPOSES,
  decompositionOf,
  flagsOf,
  PUNCTUATION,
  WHITE_SPACE,
} from '../../../pipeline/text/unicode.ts';

const uncased: NormalizerSettings = {
  cleanText: true,
  handleChineseChars: true,
  stripAccents: true,
  lowercase: true,
};

function normalize(text: string, settings: Partial<NormalizerSettings> = {}): string {
  const parts: string[] = [];
  const normalizer = new Normalizer(
    { ...uncased, ...settings },
    { push: (c) => parts.push(String.fromCodePoint(c)) },
  );
  for (const character of text) normalizer.push(character.codePointAt(0)!);
  normalizer.end();
  return parts.join('');
}

describe('Normalizer', () => {
  test.each([
    ['control characters go', 'a\u0000b\u200bc\ufffdd\ue000', 'abcd'],
    ['white space becomes a space', 'a\tb\nc\rd\u00a0e\u3000f\u2028g', 'a b c d e f g'],
    ['ideographs stand apart', 'a中b', 'a 中 b'],
    ['Hangul does not', '한글', '\u1112\u1161\u11ab\u1100\u1173\u11af'],
    ['accents go, composed or not', 'É e\u0301 ὈΔΥΣΣΕΎΣ', 'e e οδυσσευσ'],
    ['a capital sigma has one small form', 'ΟΔΟΣ', 'οδοσ'],
    ['spacing marks stay', 'কো', 'ক\u09c7\u09be'],
  ])('%s', (_, text, expected) => {
    expect(normalize(text)).toBe(expected);
  });

  test('accents stay where they shall', () => {
    expect(normalize('É İ', { stripAccents: false })).toBe('é i\u0307');
    expect(normalize('É', { lowercase: false })).toBe('E');
    expect(normalize('É', { lowercase: false, stripAccents: false })).toBe('É');
    expect(normalize('a\u0000\tb中', { cleanText: false, handleChineseChars: false })).toBe('a\u0000\tb中');
  });

  test('marks that stay are put in canonical order, each run by itself', () => {
    // U+302E has combining class 224, U+1D165 216; U+034F is dropped, has class 0 and ends a run.
    const [high, low] = ['\u302e', '\u{1d165}'];
    expect(normalize(`x${high}${low}y${high}${low}`)).toBe(`x${low}${high}y${low}${high}`);
    expect(normalize(`x${high}\u0301${low}y`)).toBe(`x${low}${high}y`);
    expect(normalize(`x${high}\u034f${low}y`)).toBe(`x${high}${low}y`);
    expect(normalize(`x${high}${low}y`, { stripAccents: false })).toBe(`x${high}${low}y`);
  });

  test('the end of a text ends its marks', () => {
    expect(normalize('\u302e')).toBe('\u302e');
  });
});

describe('Unicode tables', () => {
  test('cover every code point', () => {
    let numPunctuation = 0;
    for (let codePoint = 0; codePoint < 0x11_0000; codePoint += 1) {
      const flags = flagsOf(codePoint);
      if ((flags & PUNCTUATION) !== 0) {
        numPunctuation += 1;
        if ((flags & WHITE_SPACE) !== 0) expect(codePoint, 'both punctuation and white space').toBe(-1);
      }
      if ((flags & DECOMPOSES) === 0) continue;
      for (const part of decompositionOf(codePoint)) {
        if ((flagsOf(part) & DECOMPOSES) !== 0) expect(part, `part of ${codePoint}`).toBe(-1);
      }
    }
    expect(numPunctuation).toBeGreaterThan(700);
  });

  test('combining ranks order as combining classes do', () => {
    // Classes 1, 7, 8, 9, 10, 27, 84, 202, 216, 220, 230, 240.
    const marks = [0x334, 0x93c, 0x3099, 0x94d, 0x5b0, 0x64b, 0xc55, 0x321, 0x31b, 0x316, 0x300, 0x345];
    const ranks = marks.map(combiningRank);
    expect(ranks).toEqual(ranks.toSorted((a, b) => a - b));
    expect(new Set(ranks).size).toBe(marks.length);
    expect(combiningRank(0x41)).toBe(0);
    expect(combiningRank(0x34f)).toBe(0);
  });
});
