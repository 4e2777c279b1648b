import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keyOf, mix32, pairKeysOf, Random } from '../../pipeline/random.ts';
import { uniformDeviate } from '../support/statistics.ts';

const words = (count: number, ...parts: number[]): number[] => {
  const random = new Random(...parts);
  return Array.from({ length: count }, () => random.uint32());
};

describe('mix32', () => {
  it('is MurmurHash3 finalisation', () => {
    expect([0, 1, 2, 0xffffffff, 0x12345678].map(mix32)).toEqual([
      0, 0x514e28b7, 0x30f4c306, 0x81f16f39, 0xe37cd1bc,
    ]);
  });

  it('flips half of the output bits for each input bit', () => {
    for (let bit = 0; bit < 32; bit += 1) {
      let flipped = 0;
      for (let value = 0; value < 1000; value += 1) {
        let difference = mix32(value) ^ mix32(value ^ (1 << bit));
        for (; difference !== 0; difference &= difference - 1) flipped += 1;
      }
      expect(flipped / 1000).toBeGreaterThan(15);
      expect(flipped / 1000).toBeLessThan(17);
    }
  });
});

describe('pairKeysOf', () => {
  it('is keyOf of three numbers', () => {
    const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });
    fc.assert(
      fc.property(fc.maxSafeNat(), word, word, (first, low, high) => {
        expect(pairKeysOf(first)(low, high)).toBe(keyOf(first, low, high));
      }),
    );
  });
});

describe('keyOf', () => {
  it('keeps its values: checkpoints depend on them', () => {
    expect([keyOf(), keyOf(0), keyOf(0, 0), keyOf(42, 1, 2), keyOf(2 ** 53 - 1)]).toMatchInlineSnapshot(`
      [
        2654435769,
        1079472227,
        2924837311,
        1274085399,
        3611679872,
      ]
    `);
  });

  it('sees every number, its place and its high bits', () => {
    const keys = [
      keyOf(1, 2),
      keyOf(2, 1),
      keyOf(1, 2, 0),
      keyOf(0, 1, 2),
      keyOf(1 + 2 ** 32, 2),
      keyOf(1 + 2 ** 33, 2),
      keyOf(1, 2 + 2 ** 40),
      keyOf(3),
    ];
    expect(new Set(keys).size).toBe(keys.length);
  });

  it('spreads consecutive numbers evenly', () => {
    const cells = new Float64Array(256);
    for (let i = 0; i < 100_000; i += 1) cells[keyOf(42, i) >>> 24]! += 1;
    expect(Math.abs(uniformDeviate(cells))).toBeLessThan(4);
  });
});

describe('Random', () => {
  it('keeps its values: checkpoints depend on them', () => {
    expect(words(4, 42, 7)).toMatchInlineSnapshot(`
      [
        1497553066,
        1096013854,
        3242385115,
        2408831496,
      ]
    `);
  });

  it('gives the same words for the same key and others for another', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (a, b) => {
        expect(words(8, a, b)).toEqual(words(8, a, b));
        if (a !== b) expect(words(8, a)).not.toEqual(words(8, b));
      }),
    );
  });

  it('is uniform in each byte of its words', () => {
    const cells = [0, 8, 16, 24].map(() => new Float64Array(256));
    for (const word of words(200_000, 1)) {
      cells.forEach((cell, i) => {
        cell[(word >>> (8 * i)) & 255]! += 1;
      });
    }
    for (const cell of cells) expect(Math.abs(uniformDeviate(cell))).toBeLessThan(4);
  });

  it('gives floats in [0, 1) with mean 1/2 and variance 1/12', () => {
    const random = new Random(5);
    let sum = 0;
    let squares = 0;
    let inside = 0;
    for (let i = 0; i < 100_000; i += 1) {
      const value = random.float();
      if (value >= 0 && value < 1) inside += 1;
      sum += value;
      squares += (value - 0.5) ** 2;
    }
    expect(inside).toBe(100_000);
    expect(Math.abs(sum / 100_000 - 0.5)).toBeLessThan(4 * Math.sqrt(1 / 12 / 100_000));
    expect(Math.abs(squares / 100_000 - 1 / 12)).toBeLessThan(0.001);
  });

  it.each([1, 2, 3, 10, 1000])('is uniform below %d', (bound) => {
    const random = new Random(bound);
    const cells = new Float64Array(bound);
    for (let i = 0; i < 100_000; i += 1) cells[random.below(bound)]! += 1;
    if (bound === 1) expect(cells[0]).toBe(100_000);
    else expect(Math.abs(uniformDeviate(cells))).toBeLessThan(4);
  });

  it('has no modulo bias where the bound is near 2^32', () => {
    // Taking the remainder alone would hit the lower half twice as often as the upper.
    const bound = 3 * 2 ** 30;
    const random = new Random(9);
    const cells = new Float64Array(3);
    for (let i = 0; i < 30_000; i += 1) cells[Math.floor(random.below(bound) / 2 ** 30)]! += 1;
    expect(Math.abs(uniformDeviate(cells))).toBeLessThan(4);
    expect(new Random(9).below(2 ** 32)).toBe(new Random(9).uint32());
  });

  it.each([3 * 2 ** 19, 2 ** 21 - 1, 1000])(
    'rejects exactly the words that would bias it below %d',
    (bound) => {
      const random = new Random(13);
      const reference = new Random(13);
      let rejected = 0;
      const expected = (): number => {
        for (;;) {
          const product = BigInt(reference.uint32()) * BigInt(bound);
          if (product % 2n ** 32n >= 2n ** 32n % BigInt(bound)) return Number(product >> 32n);
          rejected += 1;
        }
      };
      const drawn = Array.from({ length: 60_000 }, () => random.below(bound));
      expect(drawn).toEqual(drawn.map(expected));
      if (bound === 3 * 2 ** 19) expect(rejected).toBeGreaterThan(3);
    },
  );

  it('gives normal numbers', () => {
    const random = new Random(11);
    const count = 100_000;
    let [sum, squares, fourths, beyondTwo] = [0, 0, 0, 0];
    for (let i = 0; i < count; i += 1) {
      const value = random.normal();
      sum += value;
      squares += value ** 2;
      fourths += value ** 4;
      if (Math.abs(value) > 2) beyondTwo += 1;
    }
    expect(Math.abs(sum / count)).toBeLessThan(4 / Math.sqrt(count));
    expect(Math.abs(squares / count - 1)).toBeLessThan(4 * Math.sqrt(2 / count));
    expect(Math.abs(fourths / count - 3)).toBeLessThan(4 * Math.sqrt(96 / count));
    expect(Math.abs(beyondTwo / count - 0.0455)).toBeLessThan(4 * Math.sqrt(0.0455 / count));
  });
});
