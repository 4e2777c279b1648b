import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createPermutation } from '../../../pipeline/sampling/permutation.ts';
import { uniformDeviate } from '../../support/statistics.ts';

describe('createPermutation', () => {
  it('is a bijection for every size up to 300', () => {
    for (let size = 1; size <= 300; size += 1) {
      const permutation = createPermutation(size, 7, size);
      const seen = new Uint8Array(size);
      for (let i = 0; i < size; i += 1) seen[permutation.apply(i)]! += 1;
      expect(seen.every((times) => times === 1)).toBe(true);
    }
  });

  it('is undone by its inverse at any size and place', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2 ** 48 }),
        fc.maxSafeNat(),
        fc.maxSafeNat(),
        (size, key, place) => {
          const permutation = createPermutation(size, key);
          const index = place % size;
          const image = permutation.apply(index);
          expect(image >= 0 && image < size && Number.isInteger(image)).toBe(true);
          expect(permutation.invert(image)).toBe(index);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('gives every arrangement of four elements equally often', () => {
    const counts = new Map<string, number>();
    for (let key = 0; key < 48_000; key += 1) {
      const permutation = createPermutation(4, key);
      const arrangement = [0, 1, 2, 3].map((i) => permutation.apply(i)).join('');
      counts.set(arrangement, (counts.get(arrangement) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    expect(Math.abs(uniformDeviate([...counts.values()]))).toBeLessThan(4);
  });

  it.each([10, 100, 1009])('sends each place of %d everywhere equally often', (size) => {
    const counts = new Float64Array(size);
    for (let key = 0; key < 200 * size; key += 1) counts[createPermutation(size, key).apply(key % 3)]! += 1;
    expect(Math.abs(uniformDeviate(counts))).toBeLessThan(4);
  });

  it('keeps no neighbours together beyond chance', () => {
    const size = 100_000;
    const permutation = createPermutation(size, 1);
    let adjacent = 0;
    for (let i = 1; i < size; i += 1) {
      if (Math.abs(permutation.apply(i) - permutation.apply(i - 1)) === 1) adjacent += 1;
    }
    // Poisson with mean 2.
    expect(adjacent).toBeLessThan(12);
  });

  it('changes with each part of its key', () => {
    const image = (...key: number[]): string => {
      const permutation = createPermutation(1000, ...key);
      return Array.from({ length: 20 }, (_, i) => permutation.apply(i)).join();
    };
    expect(new Set([image(1, 2), image(2, 1), image(1, 3), image(1, 2, 0)]).size).toBe(4);
    expect(image(1, 2)).toBe(image(1, 2));
  });

  it.each([0, -1, 1.5, Number.NaN, 2 ** 48 + 1])('refuses %d elements', (size) => {
    expect(() => createPermutation(size, 1)).toThrow(RangeError);
  });
});
