import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hashDocument } from '../../../pipeline/text/document-hash.ts';

function hash(bytes: Uint8Array, start = 0, end = bytes.length): string {
  const out = new Uint32Array(4);
  hashDocument(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), start, end, out, 0);
  return Array.from(out, (word) => word.toString(16).padStart(8, '0')).join(' ');
}

describe('hashDocument', () => {
  // MurmurHash3_x86_128, from the Python package mmh3 5.3.1 (`hash128(text, 0, x64arch=False)`).
  test.each([
    ['', '00000000 00000000 00000000 00000000'],
    ['a', 'a794933c 5556b01b 5556b01b 5556b01b'],
    ['hello', '2b2444a0 db91def7 9adb31b6 9adb31b6'],
    ['nine byte', '8fadf000 d70cd77f 7794010a afe1128e'],
    ['hello, world', '8b21605c b9b98a1e 93273a83 eb5957c7'],
    ['thirteen byte', 'a92ab48d c7453b04 3b42dd89 13cbc3ca'],
    ['exactly 16 bytes', '30d277e0 8d362161 5e2ee216 50b9c98c'],
    ['The quick brown fox jumps over the lazy dog', '2f1583c3 ecee2c67 5d7bf66c e5e91d2c'],
    ['naïve 中文 👍', '6e0cdfed 5de306b0 0f850f15 265dfde6'],
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
    const counts = new Array<number>(128).fill(0);
    const seen = new Set<string>();
    for (let index = 0; index < numDocuments; index += 1) {
      const digest = hash(new TextEncoder().encode(`document ${index}`));
      seen.add(digest);
      const bits = BigInt(`0x${digest.replaceAll(' ', '')}`);
      for (let bit = 0; bit < 128; bit += 1) if ((bits >> BigInt(bit)) & 1n) counts[bit]! += 1;
    }
    expect(seen.size).toBe(numDocuments);
    // Five standard deviations of a fair coin.
    for (const count of counts)
      expect(Math.abs(count - numDocuments / 2)).toBeLessThan(5 * Math.sqrt(numDocuments / 4));
  });
});
