import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseDataSpecs, wholeWeights } from '../../pipeline/data-spec.ts';

describe('parseDataSpecs', () => {
  it.each([
    [['cache/datasets/a'], [{ reference: 'cache/datasets/a', weight: undefined }]],
    [
      ['3:a', '0.25:b'],
      [
        { reference: 'a', weight: 3 },
        { reference: 'b', weight: 0.25 },
      ],
    ],
    [['2:a'], [{ reference: 'a', weight: 2 }]],
    [
      ['a', './3:b', 'hub:org/name'],
      ['a', './3:b', 'hub:org/name'].map((reference) => ({ reference, weight: undefined })),
    ],
    [['1:hub:org/name'], [{ reference: 'hub:org/name', weight: 1 }]],
    [['C:\\data'], [{ reference: 'C:\\data', weight: undefined }]],
  ])('reads %j', (texts, specs) => {
    expect(parseDataSpecs(texts)).toEqual(specs);
  });

  it.each([
    [[], 'no dataset given'],
    [['0:a'], '--data 0:a has weight 0, expected a number above 0'],
    [['1000001:a', '1:b'], 'has weight 1000001, expected a number above 0 and at most 1000000'],
    [['0.1234567:a'], 'with at most 6 decimals'],
    [['3:'], '--data 3: names no dataset'],
    [[''], 'names no dataset'],
    [['3:a', 'b'], '--data b has no weight but others have; give all of them one, for instance 1:b, or none'],
  ])('refuses %j in one line', (texts, message) => {
    expect(() => parseDataSpecs(texts)).toThrow(message);
    expect(() => parseDataSpecs(texts)).toThrow(expect.objectContaining({ code: 'bad-config' }) as Error);
  });
});

describe('wholeWeights', () => {
  it.each([
    [
      [3, 1],
      [3, 1],
    ],
    [
      [6, 2],
      [3, 1],
    ],
    [
      [0.3, 0.1],
      [3, 1],
    ],
    [
      [0.000001, 1_000_000],
      [1, 10 ** 12],
    ],
    [
      [70, 30, 50],
      [7, 3, 5],
    ],
    [[5], [1]],
  ])('makes of %j the ratios %j', (weights, whole) => {
    expect(wholeWeights(weights)).toEqual(whole);
  });

  it('keeps ratios exactly and names equal mixtures alike', () => {
    const weight = fc.integer({ min: 1, max: 10 ** 6 });
    fc.assert(
      fc.property(
        fc.array(weight, { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 9 }),
        (weights, factor) => {
          const whole = wholeWeights(weights);
          for (const [i, value] of whole.entries()) expect(value * weights[0]!).toBe(weights[i]! * whole[0]!);
          expect(wholeWeights(weights.map((value) => (value * factor) / 10))).toEqual(whole);
        },
      ),
    );
  });
});
