import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { goOnAt, parseBatchCursor } from '../../pipeline/cursor.ts';
import type { MixedDataset } from '../../pipeline/mixture.ts';
import type { Dataset } from '../../pipeline/shards/dataset.ts';
import type { BatchCursor } from '../../pipeline/types.ts';
import { cursorOf } from '../support/cursors.ts';

const [a, b, c] = ['a', 'b', 'c'].map((letter) => letter.repeat(64)) as [string, string, string];
const part = (fingerprint: string, weight: number): MixedDataset => ({
  reference: `cache/datasets/${fingerprint[0]!}`,
  dataset: { fingerprint } as Dataset,
  weight,
});
const expected = { seed: 42, parts: [part(a, 3), part(b, 1)] };
const mixed: BatchCursor = {
  version: 2,
  seed: 42,
  position: 5,
  datasets: [
    { fingerprint: a, weight: 3, position: 4, lag: -1 },
    { fingerprint: b, weight: 1, position: 1, lag: 1 },
  ],
};

describe('batch cursors', () => {
  it('come back from JSON as they were, at a size that does not grow with the position', () => {
    const sizeAt = (position: number): number => JSON.stringify(cursorOf(position)).length;
    fc.assert(
      fc.property(fc.maxSafeNat(), (position) => {
        const cursor = cursorOf(position);
        expect(parseBatchCursor(JSON.parse(JSON.stringify(cursor)))).toEqual(cursor);
        // Two numbers, of 16 digits at most.
        expect(sizeAt(position)).toBeLessThanOrEqual(sizeAt(0) + 30);
      }),
    );
    expect(parseBatchCursor(JSON.parse(JSON.stringify(mixed)))).toEqual(mixed);
  });

  it.each([
    [null],
    ['text'],
    [{}],
    [{ ...mixed, seed: -1 }],
    [{ ...mixed, position: 1.5 }],
    [{ ...mixed, datasets: [] }],
    [{ ...mixed, position: 6 }],
    [{ ...mixed, more: 1 }],
    [{ ...mixed, datasets: mixed.datasets.map((dataset) => ({ ...dataset, weight: 0 })) }],
    [{ ...mixed, datasets: mixed.datasets.map((dataset) => ({ ...dataset, lag: 1 })) }],
    [{ ...mixed, datasets: mixed.datasets.map(({ lag, ...dataset }) => ({ ...dataset, lag: 4 * lag })) }],
  ])('that are none are refused: %j', (value) => {
    expect(() => parseBatchCursor(value)).toThrow(expect.objectContaining({ code: 'corrupt' }) as Error);
  });
});

describe('goOnAt', () => {
  it('begins at 0 where there is no cursor', () => {
    expect(goOnAt(undefined, expected)).toEqual({
      version: 2,
      seed: 42,
      position: 0,
      datasets: [
        { fingerprint: a, weight: 3, position: 0, lag: 0 },
        { fingerprint: b, weight: 1, position: 0, lag: 0 },
      ],
    });
  });

  it('goes on where the cursor stands', () => {
    expect(goOnAt(mixed, expected)).toEqual(mixed);
  });

  it('keeps the positions under other weights, and makes up for nothing', () => {
    expect(goOnAt(mixed, { seed: 42, parts: [part(a, 1), part(b, 2)] })).toEqual({
      ...mixed,
      datasets: [
        { fingerprint: a, weight: 1, position: 4, lag: 0 },
        { fingerprint: b, weight: 2, position: 1, lag: 0 },
      ],
    });
  });

  it.each([
    ['another seed', { ...expected, seed: 7 }, mixed, [/seed 42,/, /seed 7;/]],
    [
      'another dataset',
      { ...expected, parts: [part(a, 3), part(c, 1)] },
      mixed,
      [
        /on dataset a{12} and b{12}, this run has/,
        /has a{12} \(cache\/datasets\/a\) and c{12} \(cache\/datasets\/c\);/,
      ],
    ],
    [
      'a dataset less',
      { ...expected, parts: [part(a, 1)] },
      mixed,
      [/a{12} and b{12}, /, /has a{12} \(cache\/datasets\/a\);/],
    ],
    ['a dataset more', expected, cursorOf(5, a), [/on dataset a{12}, this/, /a{12} .* and b{12}/]],
    [
      'another version',
      expected,
      { ...mixed, version: 1 } as unknown as BatchCursor,
      [/version 1,/, /version 2;/],
    ],
  ])('refuses %s, both values named', (_name, run, cursor, patterns) => {
    for (const pattern of patterns) expect(() => goOnAt(cursor, run)).toThrow(pattern);
    expect(() => goOnAt(cursor, run)).toThrow(expect.objectContaining({ code: 'mismatch' }) as Error);
  });
});
