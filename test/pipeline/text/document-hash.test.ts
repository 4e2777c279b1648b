import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hashDocument } from '../../../pipeline/text/document-hash.ts';

function hash(bytes: Uint8Array, start = 0, end = bytes.length): string {
  const out = new Uint32Array(2);
  hashDocument(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), start, end, out, 0);
  return Array.from(out, (word) => word.toString(16).padStart(8, '0')).join(' ');
}

describe('hashDocument', () => {
  // MurmurHash3_x86_128, first two words, from the Python package mmh3 5.3.1 (`hash128(text, 0, x64arch=False)`).
  test.each([
    ['', '00000000 00000000'],
    ['a', 'a794933c 5556b01b'],
    ['hello', '2b2444a0 db91def7'],
    ['hello, world', '8b21605c b9b98a1e'],
    ['exactly 16 bytes', '30d277e0 8d362161'],
    ['The quick brown fox jumps over the lazy dog', '2f1583c3 ecee2c67'],
    ['naïve 中文 👍', '6e0cdfed 5de306b0'],
  ])('golden: %j', (text, expected) => {
    expect(hash(new TextEncoder().encode(text))).toBe(expected);
  });

  test('depends on the bytes in the range alone', () => {
    const range = fc.tuple(
      fc.uint8Array({ maxLength: 40 }),
      fc.uint8Array({ maxLength: 9 }),
      fc.uint8Array(),
    );
    fc.assert(
      fc.property(range, ([document, before, after]) => {
        const text = Uint8Array.from([...before, ...document, ...after]);
        expect(hash(text, before.length, before.length + document.length)).toBe(hash(document));
      }),
    );
  });

  test('every bit is fair over similar documents', () => {
    const numDocuments = 4000;
    const counts = new Array<number>(64).fill(0);
    const seen = new Set<string>();
    for (let index = 0; index < numDocuments; index += 1) {
      const digest = hash(new TextEncoder().encode(`document ${index}`));
      seen.add(digest);
      const bits = BigInt(`0x${digest.replace(' ', '')}`);
      for (let bit = 0; bit < 64; bit += 1) if ((bits >> BigInt(bit)) & 1n) counts[bit]! += 1;
    }
    expect(seen.size).toBe(numDocuments);
    // Five standard deviations of a fair coin.
    for (const count of counts)
      expect(Math.abs(count - numDocuments / 2)).toBeLessThan(5 * Math.sqrt(numDocuments / 4));
  });
});
