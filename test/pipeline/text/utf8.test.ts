import fc from 'fast-check';
import { expect, test } from 'vitest';
import { countCharacters, decodeUtf8 } from '../../../pipeline/text/utf8.ts';

const decode = (bytes: readonly number[]): string =>
  String.fromCodePoint(...decodeUtf8(Uint8Array.from(bytes), 0, bytes.length));
const reference = (bytes: readonly number[]): string =>
  new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes));

/** One byte of each kind that the encoding tells apart. */
const KINDS = [
  0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
  0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff,
];

test('every sequence of up to four kinds of bytes is read as WHATWG says', () => {
  let numCases = 0;
  const visit = (prefix: readonly number[]): void => {
    if (prefix.length > 0) {
      numCases += 1;
      if (decode(prefix) !== reference(prefix))
        expect(decode(prefix), prefix.join(' ')).toBe(reference(prefix));
    }
    if (prefix.length < 4) for (const byte of KINDS) visit([...prefix, byte]);
  };
  visit([]);
  expect(numCases).toBe(25 + 25 ** 2 + 25 ** 3 + 25 ** 4);
});

test('any bytes', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 30 }), (bytes) => {
      expect(decode(bytes)).toBe(reference(bytes));
    }),
  );
});

test('only the range asked for is read', () => {
  const bytes = new TextEncoder().encode('a中b');
  expect(Array.from(decodeUtf8(bytes, 1, 4))).toEqual([0x4e2d]);
  expect(Array.from(decodeUtf8(bytes, 0, 3))).toEqual([0x61, 0xfffd]);
  expect(decodeUtf8(bytes, 2, 2)).toHaveLength(0);
});

test('characters are counted by their bytes, at any offset', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 0, max: 5 }), (text, offset) => {
      const bytes = new TextEncoder().encode(text);
      const buffer = new Uint8Array(bytes.length + offset);
      buffer.set(bytes, offset);
      expect(countCharacters(buffer.subarray(offset))).toBe(Array.from(text).length);
    }),
  );
});
