import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  accuracy,
  computeMetrics,
  f1,
  matthews,
  pearson,
  predictionsOf,
  scoreOf,
  spearman,
} from '../../../src/glue/metrics.ts';
import { pairedTTest, signFlipTest } from '../../../src/glue/paired-tests.ts';
import { GLUE_TASKS } from '../../../src/glue/tasks.ts';

const values = z.array(z.number());
const named = z.object({ name: z.string() });
const fixture = z
  .object({
    classes: z.array(
      named.extend({
        predictions: values,
        labels: values,
        accuracy: z.number(),
        f1: z.number().nullable(),
        matthews: z.number().nullable(),
      }),
    ),
    scores: z.array(
      named.extend({
        predictions: values,
        labels: values,
        pearson: z.number().nullable(),
        spearman: z.number().nullable(),
      }),
    ),
    paired: z.array(
      named.extend({ differences: values, signFlip: z.number(), tTest: z.number().nullable() }),
    ),
  })
  .parse(JSON.parse(readFileSync(new URL('../../fixtures/glue/metrics.json', import.meta.url), 'utf8')));

const DIGITS = 9;

describe('metrics', () => {
  it.each(fixture.classes)('are scikit-learn’s: $name', ({ predictions, labels, ...expected }) => {
    expect(accuracy(predictions, labels)).toBeCloseTo(expected.accuracy, DIGITS);
    if (expected.f1 === null || expected.matthews === null) return;
    expect(f1(predictions, labels)).toBeCloseTo(expected.f1, DIGITS);
    expect(matthews(predictions, labels)).toBeCloseTo(expected.matthews, DIGITS);
  });

  it.each(fixture.scores)('are SciPy’s: $name', ({ predictions, labels, ...expected }) => {
    for (const [found, value] of [
      [pearson(predictions, labels), expected.pearson],
      [spearman(predictions, labels), expected.spearman],
    ] as const) {
      if (value === null) expect(found).toBeNaN();
      else expect(found).toBeCloseTo(value, DIGITS);
    }
  });

  it('of a model that answers the same to everything are 0 or not defined, and score 0', () => {
    const same = new Float32Array(6).fill(1);
    const labels = [0, 1, 0, 1, 1, 0];
    expect(computeMetrics(GLUE_TASKS.cola, same, labels)).toEqual({ matthews: 0 });
    const correlations = computeMetrics(GLUE_TASKS.stsb, same, labels);
    expect(correlations).toEqual({ pearson: Number.NaN, spearman: Number.NaN });
    expect(scoreOf({ pearson: Number.NaN, spearman: null })).toBe(0);
    expect(scoreOf({ accuracy: 0.5, f1: 1 })).toBe(0.75);
    expect(pearson([1], [2])).toBeNaN();
    expect(spearman([1, Number.NaN, 2], [1, 2, 3])).toBeNaN();
  });

  it('refuse nothing and counts that differ', () => {
    expect(() => accuracy([], [])).toThrow('0 predictions for 0 labels');
    expect(() => pearson([1, 2], [1])).toThrow('2 predictions for 1 labels');
  });

  const pairs = (value: fc.Arbitrary<number>) =>
    fc.array(fc.tuple(value, value), { minLength: 2, maxLength: 40 });
  const sides = (list: readonly (readonly [number, number])[]) =>
    [list.map(([a]) => a), list.map(([, b]) => b)] as const;

  it('of classes do not care which side is which, and only accuracy and Matthews for the names of classes', () => {
    fc.assert(
      fc.property(pairs(fc.constantFrom(0, 1)), (list) => {
        const [a, b] = sides(list);
        const [notA, notB] = [a.map((x) => 1 - x), b.map((x) => 1 - x)];
        for (const metric of [accuracy, f1, matthews]) expect(metric(a, b)).toBeCloseTo(metric(b, a), 12);
        for (const metric of [accuracy, matthews]) expect(metric(notA, notB)).toBeCloseTo(metric(a, b), 12);
        expect(matthews(notA, b)).toBeCloseTo(-matthews(a, b), 12);
      }),
    );
  });

  it('of scores do not care for sides, scale and shift; Spearman for no rising function', () => {
    fc.assert(
      fc.property(pairs(fc.integer({ min: -20, max: 20 })), (list) => {
        const [a, b] = sides(list);
        for (const metric of [pearson, spearman]) {
          const value = metric(a, b);
          if (Number.isNaN(value)) continue;
          expect(metric(b, a)).toBeCloseTo(value, 10);
          expect(
            metric(
              a.map((x) => 3 * x - 7),
              b,
            ),
          ).toBeCloseTo(value, 10);
          expect(Math.abs(value)).toBeLessThanOrEqual(1);
        }
        const rank = spearman(a, b);
        if (!Number.isNaN(rank)) expect(spearman(a.map(Math.exp), b)).toBeCloseTo(rank, 10);
      }),
    );
  });
});

describe('predictionsOf', () => {
  it('takes the largest output of classes, the first of equals, and scores as they are', () => {
    const outputs = Float32Array.of(0, 2, 1, /**/ 3, 3, -1, /**/ -5, -4, -3);
    expect([...predictionsOf(GLUE_TASKS.mnli, outputs)]).toEqual([1, 0, 2]);
    expect([...predictionsOf(GLUE_TASKS.stsb, outputs)]).toEqual([...outputs]);
  });
});

describe('paired tests', () => {
  it.each(fixture.paired)('are SciPy’s: $name', ({ differences, signFlip, tTest }) => {
    expect(signFlipTest(differences)).toBeCloseTo(signFlip, DIGITS);
    expect(pairedTTest(differences)).toBeCloseTo(tTest!, DIGITS);
  });

  it('say so where there is too little', () => {
    expect(signFlipTest([2])).toBe(1);
    expect(signFlipTest([0, 0, 0])).toBe(1);
    expect(pairedTTest([2])).toBeUndefined();
    expect(pairedTTest([2, 2, 2])).toBeUndefined();
    expect(() => signFlipTest([])).toThrow('0 pairs, expected 1 to 20');
    expect(() => signFlipTest(new Array<number>(21).fill(1))).toThrow('21 pairs');
  });

  it('do not care which side is first', () => {
    const differences = fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(differences, (list) => {
        const turned = list.map((value) => -value);
        expect(signFlipTest(turned)).toBe(signFlipTest(list));
        expect(signFlipTest([...list].reverse())).toBe(signFlipTest(list));
        expect(signFlipTest(list)).toBeGreaterThanOrEqual(2 / 2 ** list.length - 1e-15);
        const p = pairedTTest(list);
        if (p !== undefined) expect(pairedTTest(turned)).toBeCloseTo(p, 12);
      }),
    );
  });
});
