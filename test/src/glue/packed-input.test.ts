import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packRows } from '../../../src/glue/packed-input.ts';

/** Rows of made-up tokens: which they are is told by their row and column. */
function batchOf(lengths: readonly number[], batchSize: number, length: number) {
  const ids_N = new Int32Array(batchSize * length);
  const attentionMask_N = new Int32Array(batchSize * length);
  const typeIds_N = new Int32Array(batchSize * length);
  for (let row = 0; row < batchSize; row += 1) {
    for (let column = 0; column < (lengths[row] ?? lengths[0]!); column += 1) {
      ids_N[row * length + column] = 1000 * (row + 1) + column;
      attentionMask_N[row * length + column] = 1;
      typeIds_N[row * length + column] = column % 2;
    }
  }
  return { numExamples: lengths.length, length, ids_N, attentionMask_N, typeIds_N };
}

const rows = fc.record({
  lengths: fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 1, maxLength: 6 }),
  numFilling: fc.integer({ min: 0, max: 3 }),
  room: fc.integer({ min: 0, max: 40 }),
});

describe('packed rows', () => {
  it('hold every token of every example once, where it was, and nothing of what fills up', () => {
    fc.assert(
      fc.property(rows, ({ lengths, numFilling, room }) => {
        const batchSize = lengths.length + numFilling;
        const length = Math.max(...lengths) + room;
        const batch = batchOf(lengths, batchSize, length);
        const { shape, values } = packRows(batch);
        const { ids, types, columns, places, tokens, mask, firsts } = values;
        expect(shape.batchSize).toBe(batchSize);
        expect(shape.rowLength % 32).toBe(0);
        expect(shape.rowLength - Math.max(...lengths)).toBeLessThan(32);
        const numTokens = lengths.reduce((sum, size) => sum + size, 0);
        expect(mask.reduce((sum, isToken) => sum + isToken, 0)).toBe(numTokens);
        expect(ids.length - numTokens).toBeLessThan(32);
        for (const [row, size] of lengths.entries()) {
          expect(ids[firsts[row]!]).toBe(1000 * (row + 1));
          for (let column = 0; column < size; column += 1) {
            const place = row * shape.rowLength + column;
            const token = tokens[place]!;
            expect(mask[place]).toBe(1);
            expect(places[token]).toBe(place);
            expect(ids[token]).toBe(1000 * (row + 1) + column);
            expect(types[token]).toBe(column % 2);
            expect(columns[token]).toBe(column);
          }
        }
        // The gradient of a place of padding is zero, and no token's.
        for (const place of places.subarray(numTokens)) expect(mask[place]).toBe(0);
      }),
    );
  });
});
