import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createMaskedTokens, createMasker, type MaskingRule } from '../../../pipeline/sampling/masking.ts';
import { binomialDeviate, uniformDeviate } from '../../support/statistics.ts';

const rule: MaskingRule = {
  probability: 0.15,
  vocabSize: 30_522,
  specialTokenIds: { pad: 0, unk: 100, cls: 101, sep: 102, mask: 103 },
};

interface Masked {
  ids: Int32Array;
  positions: Int32Array;
  labels: Int32Array;
}

function maskRow(ids: ArrayLike<number>, key: number[], options: MaskingRule = rule): Masked {
  const copy = Int32Array.from(ids);
  const masked = createMaskedTokens(copy.length);
  createMasker(options)(copy, 0, copy.length, masked, ...key);
  const { count } = masked;
  return { ids: copy, positions: masked.positions.slice(0, count), labels: masked.labels.slice(0, count) };
}

const word = 2000;
const manyWords = new Int32Array(400_000).fill(word);

describe('createMasker', () => {
  it('selects 15 % and makes 80 % of them [MASK], 10 % random, 10 % unchanged', () => {
    const { ids, positions } = maskRow(manyWords, [1]);
    const selected = positions.length;
    const masks = positions.filter((position) => ids[position] === 103).length;
    const kept = positions.filter((position) => ids[position] === word).length;
    expect(Math.abs(binomialDeviate(selected, manyWords.length, 0.15))).toBeLessThan(4);
    expect(Math.abs(binomialDeviate(masks, selected, 0.8))).toBeLessThan(4);
    expect(Math.abs(binomialDeviate(kept, selected, 0.1))).toBeLessThan(4);
    expect(Math.abs(binomialDeviate(selected - masks - kept, selected, 0.1))).toBeLessThan(4);
  });

  it('selects each position of a row equally often', () => {
    const counts = new Float64Array(256);
    const mask = createMasker(rule);
    for (let row = 0; row < 4000; row += 1) {
      const masked = createMaskedTokens(256);
      mask(new Int32Array(256).fill(word), 0, 256, masked, 1, row);
      for (let i = 0; i < masked.count; i += 1) counts[masked.positions[i]!]! += 1;
    }
    expect(Math.abs(uniformDeviate(counts))).toBeLessThan(4);
  });

  it('draws random ids uniformly over the whole vocabulary, special tokens included', () => {
    const small = { ...rule, vocabSize: 200 };
    const counts = new Float64Array(200);
    for (let key = 0; key < 10; key += 1) {
      const { ids, positions } = maskRow(new Int32Array(400_000).fill(7), [key], small);
      for (const position of positions) counts[ids[position]!]! += 1;
    }
    const others = counts.filter((_, id) => id !== 7 && id !== small.specialTokenIds.mask);
    expect(others.length).toBe(198);
    expect(Math.abs(uniformDeviate(others))).toBeLessThan(4);
    const random = others.reduce((sum, count) => sum + count, 0);
    expect(Math.abs(binomialDeviate(random, 4_000_000 * 0.15, (0.1 * 198) / 200))).toBeLessThan(4);
  });

  it('spreads them over all thousands of a vocabulary of 30,522', () => {
    const counts = new Float64Array(30);
    for (let key = 0; key < 4; key += 1) {
      const { ids, positions } = maskRow(manyWords, [2, key]);
      for (const position of positions) {
        const id = ids[position]!;
        if (id !== 103 && id !== word && id < 30_000) counts[Math.floor(id / 1000)]! += 1;
      }
    }
    expect(Math.abs(uniformDeviate(counts))).toBeLessThan(4);
  });

  it('never touches special tokens, wherever they stand', () => {
    const anyId = fc.oneof(fc.constantFrom(0, 100, 101, 102, 103), fc.integer({ min: 1000, max: 30_521 }));
    fc.assert(
      fc.property(fc.array(anyId, { maxLength: 300 }), fc.maxSafeNat(), (original, key) => {
        const { ids, positions, labels } = maskRow(original, [key], { ...rule, probability: 0.9 });
        for (const [i, position] of positions.entries()) {
          expect([0, 100, 101, 102, 103]).not.toContain(original[position]);
          expect(labels[i]).toBe(original[position]);
          if (i > 0) expect(position).toBeGreaterThan(positions[i - 1]!);
        }
        const selected = new Set(positions);
        for (const [position, id] of original.entries()) {
          if (!selected.has(position)) expect(ids[position]).toBe(id);
        }
      }),
    );
  });

  it('selects every ordinary token at probability 1', () => {
    expect(maskRow([101, 5000, 6000, 102, 0], [1], { ...rule, probability: 1 }).positions).toEqual(
      Int32Array.of(1, 2),
    );
  });

  it('gives the same mask for the same key, wherever the row lies in its batch', () => {
    const alone = maskRow(manyWords.subarray(0, 256), [42, 9]);
    const batch = manyWords.slice(0, 256 * 3);
    const masked = createMaskedTokens(batch.length);
    const mask = createMasker(rule);
    mask(batch, 0, 256, masked, 42, 8);
    const before = masked.count;
    mask(batch, 256, 512, masked, 42, 9);
    expect(batch.slice(256, 512)).toEqual(alone.ids);
    expect(masked.positions.slice(before, masked.count).map((position) => position - 256)).toEqual(
      alone.positions,
    );
    expect(maskRow(manyWords.subarray(0, 256), [43, 9]).positions).not.toEqual(alone.positions);
  });

  it('keeps its masks for a fixed key: checkpoints depend on them', () => {
    expect([...maskRow(manyWords.subarray(0, 64), [42, 0]).ids].join(' ')).toMatchInlineSnapshot(
      `"2000 2000 2000 2000 2000 2000 2000 2000 2000 2000 2000 2000 103 2000 2000 2000 103 2000 2000 2000 2000 2000 2000 2000 2000 2000 2000 2000 2000 2000 2000 2000 2000 2000 2000 103 2000 2000 2000 2000 2000 2000 2000 2000 2000 2000 2000 103 2000 2000 2000 2000 2000 2000 2000 2000 2000 2000 2000 2000 2000 103 2000 2000"`,
    );
  });
});
