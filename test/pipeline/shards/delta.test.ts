import fc from 'fast-check';
import { deltaBinaryUnpack } from 'hyparquet/src/delta.js';
import { describe, expect, it } from 'vitest';
import { decodeDelta, encodeDelta } from '../../../pipeline/shards/delta.ts';

/** Values of every size, runs of equal ones and jumps from one end of 32 bits to the other. */
const lists = fc
  .record({
    bits: fc.integer({ min: 0, max: 32 }),
    words: fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { maxLength: 700 }),
  })
  .map(({ bits, words }) => Int32Array.from(words, (word) => (bits === 0 ? 7 : word >> (32 - bits))));

/** What the memory held before must not matter. */
function encode(values: Int32Array, garbage = -1): Uint8Array {
  encodeDelta(
    Int32Array.from({ length: 4 * values.length + 256 }, (_, index) => garbage * index * 0x2545f491),
  );
  return encodeDelta(values).slice();
}

/** A decoder that is not ours. */
function decodedByHyparquet(bytes: Uint8Array, count: number): Int32Array {
  const values = new Int32Array(count);
  deltaBinaryUnpack(
    { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), offset: 0 },
    count,
    values,
  );
  return values;
}

describe('DELTA_BINARY_PACKED', () => {
  it('comes back as it was, whatever the values, here and in another decoder', () => {
    fc.assert(
      fc.property(lists, (values) => {
        const bytes = encode(values);
        expect(decodeDelta(bytes, values.length)).toEqual(values);
        expect(encode(values, 0)).toEqual(bytes);
        if (values.length > 0) expect(decodedByHyparquet(bytes, values.length)).toEqual(values);
      }),
      { numRuns: 300 },
    );
  });

  it('takes two bytes an id of BERT, and next to nothing for a row of padding', () => {
    const ids = Int32Array.from({ length: 65_536 }, (_, index) => (index * 7919) % 30_522);
    expect(encode(ids).length).toBeLessThan(2.1 * ids.length);
    expect(encode(new Int32Array(65_536)).length).toBeLessThan(3_000);
  });

  it('refuses bytes that end early, go on, or hold another number of values', () => {
    const values = Int32Array.from({ length: 300 }, (_, index) => (index * 7919) % 30_522);
    const bytes = encode(values);
    for (let length = 0; length < bytes.length; length += 1) {
      expect(() => decodeDelta(bytes.subarray(0, length), 300)).toThrow();
    }
    expect(() => decodeDelta(Uint8Array.of(...bytes, 0), 300)).toThrow('bytes behind the last value');
    expect(() => decodeDelta(bytes, 299)).toThrow('300 values, expected 299');
  });
});
