import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SnappyStream } from '../../../pipeline/sources/snappy-stream.ts';

const { compress } = createRequire(import.meta.url)('snappyjs') as {
  compress: (bytes: Uint8Array) => Uint8Array;
};

function decompressed(stored: Uint8Array, pieceBytes: number): Buffer {
  const stream = new SnappyStream();
  const blocks: Buffer[] = [];
  for (let at = 0; at < stored.length; at += pieceBytes) {
    for (const block of stream.push(stored.subarray(at, at + pieceBytes))) blocks.push(Buffer.from(block));
  }
  stream.end();
  return Buffer.concat(blocks);
}

/** A length, and elements behind it. */
function stored(length: number, ...elements: readonly (readonly number[])[]): Uint8Array {
  const preamble: number[] = [];
  for (let rest = length; ; rest >>>= 7) {
    preamble.push(rest < 0x80 ? rest : (rest & 0x7f) | 0x80);
    if (rest < 0x80) return Uint8Array.from([...preamble, ...elements.flat()]);
  }
}

describe('SnappyStream', () => {
  it('gives what was compressed, however the bytes come', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 90 }), fc.nat(40)), { maxLength: 30 }),
        fc.integer({ min: 1, max: 50 }),
        (parts, pieceBytes) => {
          const bytes = Buffer.concat(
            parts.flatMap(([part, times]) => Array.from({ length: times }, () => part)),
          );
          expect(decompressed(compress(bytes), pieceBytes)).toEqual(bytes);
        },
      ),
    );
  });

  it('gives megabytes, and copies across the borders of its window', () => {
    const words = Array.from({ length: 900_000 }, (_, i) => `w${(i * 7919) % 5003} `).join('');
    const bytes = Buffer.from(words);
    expect(bytes.length).toBeGreaterThan(3 << 20);
    for (const pieceBytes of [bytes.length, 65_537]) {
      expect(decompressed(compress(bytes), pieceBytes).equals(bytes)).toBe(true);
    }
  });

  it('knows copies with an offset of four bytes, and literals of each length', () => {
    const letters = Array.from({ length: 300 }, (_, i) => 97 + (i % 26));
    const literal = [61 << 2, 299 & 0xff, 299 >> 8];
    const copy = [(9 << 2) | 3, 300 & 0xff, 300 >> 8, 0, 0];
    const expected = Buffer.from([...letters, ...letters.slice(0, 10)]);
    for (const pieceBytes of [1, 2, 1000]) {
      expect(decompressed(stored(310, [...literal, ...letters], copy), pieceBytes)).toEqual(expected);
    }
  });

  it.each([
    ['cut off', compress(Buffer.from('word '.repeat(100))).slice(0, -1), 'of 500 bytes'],
    ['empty', new Uint8Array(0), 'it holds 0 of unknown bytes'],
    ['shorter than it says', stored(9, [0, 97]), 'it holds 1 of 9 bytes'],
    ['longer than it says', stored(1, [1 << 2, 97, 98]), 'it holds more than 1 bytes'],
    ['a copy from before its beginning', stored(9, [0, 97], [1, 2]), 'invalid snappy offset 2'],
    ['a copy of nothing', stored(9, [0, 97], [1, 0]), 'invalid snappy offset 0'],
    ['of an impossible length', Uint8Array.from([255, 255, 255, 255, 255, 1]), 'invalid snappy length'],
  ])('refuses what is %s', (_what, bytes, message) => {
    expect(() => decompressed(bytes, 3)).toThrow(message);
  });

  it('refuses a copy from further back than it remembers', () => {
    const size = 5 << 20;
    const literal = [62 << 2, (size - 1) & 0xff, ((size - 1) >> 8) & 0xff, (size - 1) >> 16];
    const offset = 4 << 20;
    const copy = [3, offset & 0xff, (offset >> 8) & 0xff, offset >> 16, 0];
    const bytes = Buffer.concat([stored(size + 1, literal), Buffer.alloc(size, 97), Buffer.from(copy)]);
    expect(() => decompressed(bytes, 1 << 20)).toThrow(
      'a snappy copy reaches 4194304 bytes back, expected at most 1048576',
    );
  });
});
