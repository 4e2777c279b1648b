import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LongWordCache, NOT_CACHED } from '../../../pipeline/text/long-word-cache.ts';

/** A view of the word, with other bytes around it. */
function viewOf(word: Uint8Array, around: number): DataView {
  const bytes = new Uint8Array(word.length + 8).fill(around);
  bytes.set(word, 3);
  return new DataView(bytes.buffer);
}

function lookup(cache: LongWordCache, word: Uint8Array, around = 0): number[] | undefined {
  const out = new Int32Array(200);
  const count = cache.lookup(viewOf(word, around), 3, word.length, out, 1);
  return count === NOT_CACHED ? undefined : Array.from(out.subarray(1, count));
}

/** As the tokenizer does it: what is not found is put in. */
function remember(cache: LongWordCache, word: Uint8Array, ids: readonly number[]): boolean {
  const known = lookup(cache, word);
  if (known !== undefined) expect(known).toEqual(ids);
  else cache.insert(viewOf(word, 1), 3, word.length, Int32Array.of(9, ...ids), 1, 1 + ids.length);
  return known !== undefined;
}

const idsOf = (word: Uint8Array): number[] => Array.from(word.subarray(0, word[0]! % 9), (byte) => byte + 5);

describe('LongWordCache', () => {
  test.each([2, 8, 4096])('never confuses two words, with %i entries', (numEntries) => {
    const byte = fc.constantFrom(0, 1, 0x61, 0xe0, 0xff);
    const word = fc.uint8Array({ minLength: 1, maxLength: 70 });
    const words = fc.array(fc.oneof(word, fc.array(byte, { minLength: 1, maxLength: 9 })), { maxLength: 60 });
    fc.assert(
      fc.property(words, (all) => {
        const cache = new LongWordCache(numEntries);
        for (const one of [...all, ...all]) {
          const bytes = Uint8Array.from(one);
          remember(cache, bytes, idsOf(bytes));
        }
      }),
    );
  });

  test('finds what it was given, whatever surrounds it', () => {
    const cache = new LongWordCache(1024);
    const words = Array.from({ length: 64 }, (_, index) => new Uint8Array(index + 1).fill(0x61));
    for (const word of words) expect(remember(cache, word, [word.length, 7])).toBe(false);
    for (const word of words) {
      for (const around of [0, 0x61, 0xff]) expect(lookup(cache, word, around)).toEqual([word.length, 7]);
    }
  });

  test('keeps words without ids, and none of over 64 bytes', () => {
    const cache = new LongWordCache(1024);
    expect(remember(cache, new Uint8Array(20), [])).toBe(false);
    expect(remember(cache, new Uint8Array(20), [])).toBe(true);
    expect(remember(cache, new Uint8Array(65), [1])).toBe(false);
    expect(remember(cache, new Uint8Array(65), [1])).toBe(false);
  });

  test('starts anew when it is full', () => {
    const cache = new LongWordCache(8);
    const words = Array.from({ length: 100 }, (_, index) => Uint8Array.of(index, index, index));
    for (const word of words) remember(cache, word, [word[0]!]);
    const found = words.filter((word) => lookup(cache, word) !== undefined);
    expect(found.length).toBeGreaterThan(0);
    expect(found.length).toBeLessThanOrEqual(4);
    expect(lookup(cache, words.at(-1)!)).toEqual([99]);
  });
});
