import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PairOptions } from '../../../pipeline/batch-options.ts';
import { eligibleTokens, samplePairs } from '../../../pipeline/sampling/pairs.ts';
import type { ContrastivePairs } from '../../../pipeline/types.ts';
import { chiSquareDeviate, uniformDeviate } from '../../support/statistics.ts';

const defaults: Required<PairOptions> = {
  numNegatives: 4,
  positiveWindow: 5,
  windowRule: 'readme',
  variant: 'all',
  excludeSpecial: false,
};
const special = Uint8Array.from({ length: 200 }, (_, id) => (id === 0 || id === 1 || id === 2 ? 1 : 0));

interface Rows {
  readonly maxSeqLen: number;
  readonly lengths: number[];
  /** Defaults to an ordinary token everywhere. */
  readonly ids?: Int32Array;
  readonly selected?: readonly number[];
}

function sample(rows: Rows, options: Partial<PairOptions>, ...key: number[]): ContrastivePairs {
  const size = rows.maxSeqLen * rows.lengths.length;
  const settings = { ...defaults, ...options };
  const eligible = eligibleTokens(
    rows.ids ?? new Int32Array(size).fill(50),
    Int32Array.from(rows.lengths),
    rows.maxSeqLen,
    settings.excludeSpecial ? special : undefined,
  );
  const selected = new Uint8Array(size);
  for (const position of rows.selected ?? []) selected[position] = 1;
  return samplePairs(eligible, selected, settings, ...key);
}

/** How often each distance t2 − t1, of −reach..reach, was drawn for the anchor at `position`. */
function distances(
  rows: Rows,
  options: Partial<PairOptions>,
  position: number,
  runs: number,
): Map<number, number> {
  const counts = new Map<number, number>();
  for (let key = 0; key < runs; key += 1) {
    const { anchors, positives } = sample(rows, { ...options, numNegatives: 1 }, key);
    const index = anchors.indexOf(position);
    expect(index).toBeGreaterThanOrEqual(0);
    const distance = positives[index]! - position;
    counts.set(distance, (counts.get(distance) ?? 0) + 1);
  }
  return new Map([...counts].sort((a, b) => a[0] - b[0]));
}

const anyRows = fc
  .integer({ min: 1, max: 24 })
  .chain((maxSeqLen) =>
    fc.record({
      maxSeqLen: fc.constant(maxSeqLen),
      lengths: fc.array(fc.integer({ min: 0, max: maxSeqLen }), { minLength: 2, maxLength: 5 }),
      idSeed: fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 120, maxLength: 120 }),
      selected: fc.array(fc.nat(119), { maxLength: 30 }),
    }),
  )
  .map(({ maxSeqLen, lengths, idSeed, selected }) => ({
    maxSeqLen,
    lengths,
    ids: Int32Array.from(idSeed.slice(0, maxSeqLen * lengths.length)),
    selected: selected.filter((position) => position < maxSeqLen * lengths.length),
  }));
const anyOptions = fc.record({
  numNegatives: fc.integer({ min: 1, max: 6 }),
  positiveWindow: fc.constantFrom(3, 5, 9, 31),
  windowRule: fc.constantFrom('readme' as const, 'centered' as const),
  variant: fc.constantFrom('all' as const, 'masked' as const, 'unmasked' as const),
  excludeSpecial: fc.boolean(),
});

describe('samplePairs', () => {
  it('keeps every rule on any batch', () => {
    fc.assert(
      fc.property(anyRows, anyOptions, fc.maxSafeNat(), (rows, options, key) => {
        const { maxSeqLen, lengths, ids, selected } = rows;
        const { anchors, positives, negatives } = sample(rows, options, key);
        const rowOf = (position: number): number => Math.floor(position / maxSeqLen);
        const takesPart = (position: number): boolean =>
          position % maxSeqLen < lengths[rowOf(position)]! &&
          !(options.excludeSpecial && special[ids[position]!] === 1);
        expect(positives.length).toBe(anchors.length);
        expect(negatives.length).toBe(anchors.length * options.numNegatives);
        const all = Array.from(ids.keys()).filter(takesPart);
        for (const [i, anchor] of anchors.entries()) {
          const positive = positives[i]!;
          if (i > 0) expect(anchor).toBeGreaterThan(anchors[i - 1]!);
          expect(takesPart(anchor) && takesPart(positive)).toBe(true);
          expect(positive).not.toBe(anchor);
          expect(rowOf(positive)).toBe(rowOf(anchor));
          if (options.windowRule === 'readme') {
            expect(Math.abs(positive - anchor)).toBeLessThan(options.positiveWindow);
          }
          if (options.variant !== 'all') {
            expect(selected.includes(anchor)).toBe(options.variant === 'masked');
          }
          const own = negatives.subarray(i * options.numNegatives, (i + 1) * options.numNegatives);
          for (const negative of own) {
            expect(takesPart(negative)).toBe(true);
            expect(rowOf(negative)).not.toBe(rowOf(anchor));
          }
        }
        // No token that could be an anchor is left out.
        const expected = all.filter((position) => {
          const others = all.filter((other) => rowOf(other) === rowOf(position) && other !== position);
          const reach = options.windowRule === 'readme' ? options.positiveWindow - 1 : maxSeqLen;
          const near = others.some((other) => Math.abs(other - position) <= reach);
          const wanted =
            options.variant === 'all' || selected.includes(position) === (options.variant === 'masked');
          return near && wanted && others.length + 1 < all.length;
        });
        expect([...anchors]).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  it('is a function of its key', () => {
    const rows = { maxSeqLen: 16, lengths: [16, 16, 9] };
    expect(sample(rows, {}, 1, 2)).toEqual(sample(rows, {}, 1, 2));
    expect(sample(rows, {}, 1, 2)).not.toEqual(sample(rows, {}, 1, 3));
  });

  it('draws the same positives whatever the number of negatives', () => {
    const rows = { maxSeqLen: 16, lengths: [16, 16] };
    expect(sample(rows, { numNegatives: 1 }, 5).positives).toEqual(
      sample(rows, { numNegatives: 9 }, 5).positives,
    );
  });

  it('keeps its pairs for a fixed key: checkpoints depend on them', () => {
    const pairs = sample({ maxSeqLen: 6, lengths: [6, 4] }, { numNegatives: 2 }, 42, 0);
    expect([...pairs.positives, ...pairs.negatives].join(' ')).toMatchInlineSnapshot(
      `"4 2 1 4 1 3 9 6 7 7 8 9 9 9 7 8 8 7 6 6 8 9 4 1 2 2 3 2 3 3"`,
    );
    const centered = sample({ maxSeqLen: 6, lengths: [6, 4] }, { windowRule: 'centered' }, 42, 0);
    expect([...centered.positives].join(' ')).toMatchInlineSnapshot(`"2 0 0 4 3 4 8 6 9 8"`);
  });

  describe('positives by the readme rule', () => {
    const rows = { maxSeqLen: 12, lengths: [12, 10] };

    it.each([
      ['in the middle', 6, [-4, -3, -2, -1, 1, 2, 3, 4]],
      ['at the beginning', 0, [1, 2, 3, 4]],
      ['near the beginning', 1, [-1, 1, 2, 3, 4]],
      ['at the end', 11, [-4, -3, -2, -1]],
      ['before padding', 12 + 9, [-4, -3, -2, -1]],
      ['near padding', 12 + 8, [-4, -3, -2, -1, 1]],
    ])('are uniform over the window %s', (_name, position, expected) => {
      const counts = distances(rows, {}, position, 8000);
      expect([...counts.keys()]).toEqual(expected);
      expect(Math.abs(uniformDeviate([...counts.values()]))).toBeLessThan(4);
    });

    it('are the direct neighbours alone with W = 2', () => {
      expect([...distances(rows, { positiveWindow: 2 }, 5, 200).keys()]).toEqual([-1, 1]);
      expect([...distances(rows, { positiveWindow: 2 }, 0, 200).keys()]).toEqual([1]);
    });

    it('skip special tokens where those are excluded', () => {
      const ids = Int32Array.of(1, 50, 51, 2, 1, 52, 53, 54, 2, 1, 55, 56, ...new Array<number>(12).fill(60));
      const counts = distances({ ...rows, ids }, { excludeSpecial: true }, 5, 4000);
      expect([...counts.keys()]).toEqual([-4, -3, 1, 2]);
      expect(Math.abs(uniformDeviate([...counts.values()]))).toBeLessThan(4);
      expect(sample({ ...rows, ids }, { excludeSpecial: true }, 1).anchors).not.toContain(0);
    });
  });

  describe('positives by the centered rule', () => {
    const rows = { maxSeqLen: 8, lengths: [8, 6] };
    const centered = { windowRule: 'centered' } as const;

    it('are uniform over ±1..±⌊W/2⌋ inside the row', () => {
      const counts = distances(rows, centered, 4, 8000);
      expect([...counts.keys()]).toEqual([-2, -1, 1, 2]);
      expect(Math.abs(uniformDeviate([...counts.values()]))).toBeLessThan(4);
    });

    it.each([
      ['at the beginning', 0, 8, 2],
      ['one from the beginning', 1, 8, 1],
      ['at the end', 7, 8, 2],
      ['before padding', 8 + 5, 6, 2],
    ])('become uniform over the other tokens of the row %s', (_name, position, length, numOutside) => {
      const runs = 20_000;
      const counts = distances(rows, centered, position, runs);
      const column = position % 8;
      const others = Array.from({ length }, (_, i) => i - column).filter((distance) => distance !== 0);
      // Of four offsets `numOutside` leave the row; that share is spread over all other positions.
      const expected = others.map(
        (distance) => runs * (numOutside / 4 / others.length + (Math.abs(distance) <= 2 ? 1 / 4 : 0)),
      );
      expect([...counts.keys()].every((distance) => others.includes(distance))).toBe(true);
      expect(
        Math.abs(
          chiSquareDeviate(
            others.map((distance) => counts.get(distance) ?? 0),
            expected,
          ),
        ),
      ).toBeLessThan(4);
    });
  });

  describe('negatives', () => {
    it('are uniform over the tokens of all other rows, padding left out', () => {
      const rows = { maxSeqLen: 8, lengths: [8, 3, 8, 5] };
      for (const row of [0, 1, 2, 3]) {
        const counts = new Float64Array(32);
        for (let key = 0; key < 500; key += 1) {
          const { anchors, negatives } = sample(rows, { numNegatives: 20 }, row, key);
          const index = anchors.indexOf(row * 8);
          for (const negative of negatives.subarray(index * 20, (index + 1) * 20)) counts[negative]! += 1;
        }
        const allowed = (position: number): boolean =>
          Math.floor(position / 8) !== row && position % 8 < rows.lengths[Math.floor(position / 8)]!;
        expect(counts.every((count, position) => allowed(position) || count === 0)).toBe(true);
        expect(Math.abs(uniformDeviate(counts.filter((_, position) => allowed(position))))).toBeLessThan(4);
      }
    });

    it('are drawn with replacement, so that K may exceed the tokens there are', () => {
      const { negatives } = sample({ maxSeqLen: 2, lengths: [2, 1] }, { numNegatives: 50 }, 1);
      expect(negatives).toHaveLength(100);
      expect(new Set(negatives)).toEqual(new Set([2]));
    });
  });

  describe('tokens that cannot be anchors', () => {
    it('is a row of one token: it has no positive, but serves as a negative', () => {
      const { anchors, negatives } = sample({ maxSeqLen: 4, lengths: [4, 1] }, { numNegatives: 3 }, 1);
      expect(anchors).toEqual(Int32Array.of(0, 1, 2, 3));
      expect(new Set(negatives)).toEqual(new Set([4]));
    });

    it('is every token when all other rows are padding', () => {
      const pairs = sample({ maxSeqLen: 4, lengths: [4, 0, 0] }, {}, 1);
      expect([pairs.anchors.length, pairs.positives.length, pairs.negatives.length]).toEqual([0, 0, 0]);
    });

    it('is a token with only excluded neighbours in its window', () => {
      const ids = Int32Array.of(50, 1, 2, 51, 52, 60, 60, 60, 60, 60);
      const rows = { maxSeqLen: 5, lengths: [5, 5], ids };
      const readme = sample(rows, { positiveWindow: 2, excludeSpecial: true }, 1);
      expect(readme.anchors).toEqual(Int32Array.of(3, 4, 5, 6, 7, 8, 9));
      const centered = sample(rows, { positiveWindow: 3, excludeSpecial: true, windowRule: 'centered' }, 1);
      expect(centered.anchors[0]).toBe(0);
    });

    it('is every token when MLM selected none and only selected ones are wanted', () => {
      expect(sample({ maxSeqLen: 4, lengths: [4, 4] }, { variant: 'masked' }, 1).anchors).toHaveLength(0);
    });
  });
});
