import { describe, expect, it } from 'vitest';
import { resolveSampling, type SamplingOptions } from '../../pipeline/batch-options.ts';
import { createCollator } from '../../pipeline/collate.ts';
import { cursorOf } from '../support/cursors.ts';
import { binomialDeviate } from '../support/statistics.ts';

const facts = {
  maxSeqLen: 6,
  vocabSize: 200,
  specialTokenIds: { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 },
};
const options: SamplingOptions = {
  batchSize: 2,
  seed: 42,
  mlmProbability: 1,
  taco: { numNegatives: 2 },
};
const cursor = cursorOf(2);

function collate(
  ids: number[],
  changes: Partial<SamplingOptions> = {},
  rowNumbers = [0, 1],
): ReturnType<ReturnType<typeof createCollator>> {
  const settings = resolveSampling({ ...options, ...changes });
  return createCollator(facts, settings, 'train')({ ids: Int32Array.from(ids), rowNumbers, cursor });
}

describe('createCollator', () => {
  it('takes the padding ids at the end of a row for padding, those within for a special token', () => {
    const batch = collate([2, 50, 0, 51, 3, 0, 2, 60, 61, 62, 63, 3]);
    expect(batch.attentionMask).toEqual(Int32Array.of(1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1));
    expect(batch.maskedPositions).toEqual(Int32Array.of(1, 3, 7, 8, 9, 10));
    expect(batch.maskedLabels).toEqual(Int32Array.of(50, 51, 60, 61, 62, 63));
    expect(batch.pairs!.anchors).toEqual(Int32Array.of(0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11));
  });

  it('tells special tokens by the original ids: what MLM replaced by [MASK] still takes part', () => {
    const batch = collate([2, 50, 51, 52, 53, 3, 2, 60, 61, 62, 63, 3], {
      taco: { numNegatives: 2, excludeSpecial: true },
    });
    expect(batch.inputIds.filter((id) => id === 4).length).toBeGreaterThan(0);
    expect(batch.pairs!.anchors).toEqual(Int32Array.of(1, 2, 3, 4, 7, 8, 9, 10));
  });

  it.each([
    ['masked', true],
    ['unmasked', false],
  ] as const)('takes as anchors of the variant `%s` exactly those tokens', (variant, wantsSelected) => {
    const ids = Array.from({ length: 12 }, (_, i) => 50 + i);
    let seen = 0;
    for (let row = 0; row < 20; row += 1) {
      const batch = collate(ids, { mlmProbability: 0.5, taco: { variant } }, [2 * row, 2 * row + 1]);
      const selected = new Set(batch.maskedPositions);
      const expected = ids.map((_, i) => i).filter((i) => selected.has(i) === wantsSelected);
      expect([...batch.pairs!.anchors]).toEqual(expected);
      seen += expected.length;
    }
    expect(seen).toBeGreaterThan(60);
    expect(seen).toBeLessThan(180);
  });

  it('makes anchors of 100 %, 85 % and 15 % of the tokens by variant', () => {
    const rows = 400;
    const large = { ...facts, maxSeqLen: 100 };
    const share = (variant: 'all' | 'masked' | 'unmasked'): number => {
      const settings = resolveSampling({
        ...options,
        mlmProbability: 0.15,
        batchSize: rows,
        taco: { variant, numNegatives: 1 },
      });
      const ids = new Int32Array(rows * 100).fill(70);
      const rowNumbers = Array.from({ length: rows }, (_, row) => row);
      return createCollator(large, settings, 'train')({ ids, rowNumbers, cursor }).pairs!.anchors.length;
    };
    expect(share('all')).toBe(rows * 100);
    expect(Math.abs(binomialDeviate(share('masked'), rows * 100, 0.15))).toBeLessThan(4);
    expect(share('masked') + share('unmasked')).toBe(rows * 100);
  });

  it('draws other pairs for another micro-batch or seed, the same for the same', () => {
    const ids = Array.from({ length: 12 }, (_, i) => 50 + i);
    const pairs = (changes: Partial<SamplingOptions>, rowNumbers: number[]): unknown =>
      collate(ids, changes, rowNumbers).pairs;
    expect(pairs({}, [0, 1])).toEqual(pairs({}, [0, 1]));
    expect(pairs({}, [0, 1])).not.toEqual(pairs({}, [2, 3]));
    expect(pairs({}, [0, 1])).not.toEqual(pairs({ seed: 43 }, [0, 1]));
  });

  it('copes with a row of nothing but padding', () => {
    const batch = collate([0, 0, 0, 0, 0, 0, 2, 60, 61, 62, 63, 3]);
    expect(batch.attentionMask).toEqual(Int32Array.of(0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1));
    expect(batch.pairs!.anchors).toHaveLength(0);
    expect(batch.maskedPositions).toEqual(Int32Array.of(7, 8, 9, 10));
  });
});
