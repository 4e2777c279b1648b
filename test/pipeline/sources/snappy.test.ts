import fc from 'fast-check';
import { compressors } from 'hyparquet-compressors';
import { describe, expect, it } from 'vitest';
import { SnappyDecompressor } from '../../../pipeline/sources/snappy.ts';

/** An element of the format: new bytes, or a length and how far back, in 1, 2 or 4 bytes. */
type Element =
  | { readonly kind: 0; readonly bytes: Uint8Array; readonly extraBytes: number }
  | { readonly kind: 1 | 2 | 3; readonly length: number; readonly offset: number };

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)];
}

function littleEndian(value: number, numBytes: number): number[] {
  return Array.from({ length: numBytes }, (_, index) => (value >>> (8 * index)) & 0xff);
}

/** Writes elements by the format's description. Copies from before the start are made to fit. */
function write(elements: readonly Element[]): { input: Uint8Array; output: Uint8Array } {
  const body: number[] = [];
  const output: number[] = [];
  for (const element of elements) {
    if (element.kind === 0) {
      const { bytes, extraBytes } = element;
      const length = bytes.length - 1;
      const least = length < 60 ? 0 : length < 256 ? 1 : length < 65_536 ? 2 : 3;
      const numBytes = Math.max(extraBytes, least);
      body.push(
        ...(numBytes === 0 ? [length << 2] : [(59 + numBytes) << 2, ...littleEndian(length, numBytes)]),
      );
      body.push(...bytes);
      output.push(...bytes);
      continue;
    }
    if (output.length === 0) continue;
    const { kind, length } = element;
    const offset = 1 + ((element.offset - 1) % Math.min(output.length, kind === 1 ? 2047 : 65_535));
    if (kind === 1) {
      const short = 4 + (length % 8);
      body.push(1 | ((short - 4) << 2) | ((offset >>> 8) << 5), offset & 0xff);
      for (let index = 0; index < short; index += 1) output.push(output[output.length - offset]!);
    } else {
      body.push(kind | ((length - 1) << 2), ...littleEndian(offset, kind === 2 ? 2 : 4));
      for (let index = 0; index < length; index += 1) output.push(output[output.length - offset]!);
    }
  }
  return { input: Uint8Array.from([...varint(output.length), ...body]), output: Uint8Array.from(output) };
}

const literal = fc.record({
  kind: fc.constant(0 as const),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 400 }),
  extraBytes: fc.integer({ min: 0, max: 4 }),
});
const copy = fc.record({
  kind: fc.constantFrom(1 as const, 2 as const, 3 as const),
  length: fc.integer({ min: 1, max: 64 }),
  offset: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 65_535 })),
});
const elements = fc.array(fc.oneof(literal, copy), { maxLength: 40 });

describe('Snappy', () => {
  const snappy = new SnappyDecompressor();

  it('gives back what was written, whatever the elements', () => {
    fc.assert(
      fc.property(elements, (list) => {
        const { input, output } = write(list);
        expect(snappy.decompress(input, output.length)).toEqual(output);
        // Wherever the input lies.
        for (let lead = 0; lead < 8; lead += 1) {
          const moved = new Uint8Array(lead + input.length).subarray(lead);
          moved.set(input);
          expect(snappy.decompress(moved, output.length)).toEqual(output);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('refuses damage, or says the same as another decoder', () => {
    const change = fc.record({ place: fc.nat(), value: fc.integer({ min: 0, max: 255 }), cut: fc.nat(3) });
    fc.assert(
      fc.property(elements, change, (list, { place, value, cut }) => {
        const { input, output } = write(list);
        const damaged = input.slice(0, Math.max(1, input.length - cut));
        damaged[place % damaged.length] = value;
        const results = [
          () => snappy.decompress(damaged, output.length),
          () => compressors.SNAPPY!(damaged, output.length),
        ].map((decode) => {
          try {
            return decode();
          } catch {
            return undefined;
          }
        });
        const [ours, other] = results;
        if (ours !== undefined && other !== undefined) expect(ours).toEqual(other);
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ['nothing', []],
    ['a length that never ends', [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
    ['another length', [9, 0, 65]],
    ['a copy from before the start', [5, 0, 65, 1 | (0 << 2), 2]],
    ['a copy from nowhere', [5, 0, 65, 1 | (0 << 2), 0]],
    ['a copy beyond the length', [4, 0, 65, 1 | (0 << 2), 1, 1, 1]],
    ['a literal beyond the input', [4, 3 << 2, 65]],
    ['the longest literal', [4, 63 << 2, 0xff, 0xff, 0xff, 0xff, 65, 65, 65, 65]],
    ['an end within a length', [4, 63 << 2, 0]],
    ['too few bytes', [4, 2 << 2, 65, 66, 67]],
  ])('refuses %s', (_, bytes) => {
    const length = bytes[0] === 5 ? 5 : 4;
    expect(() => snappy.decompress(Uint8Array.from(bytes), length)).toThrow(/^its Snappy data /);
  });

  it('keeps nothing of the page before', () => {
    const first = write([{ kind: 0, bytes: new Uint8Array(20_000).fill(7), extraBytes: 4 }]);
    expect(snappy.decompress(first.input, 20_000).every((byte) => byte === 7)).toBe(true);
    const second = write([{ kind: 0, bytes: Uint8Array.of(1, 2), extraBytes: 0 }]);
    expect(snappy.decompress(second.input, 2)).toEqual(Uint8Array.of(1, 2));
  });
});
