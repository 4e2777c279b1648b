import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Turns } from '../../../pipeline/sampling/turns.ts';

const zeros = (weights: readonly number[]): number[] => weights.map(() => 0);
const take = (turns: Turns, count: number): number[] => Array.from({ length: count }, () => turns.next());
const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
const someWeights = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 7 });

describe('Turns', () => {
  it.each([
    [[1], '0000000000'],
    [[1, 1], '0101010101'],
    [[3, 1], '0001000100'],
    [[1, 3], '1101110111'],
    [[5, 3, 2], '0102010102'],
  ])('keep their order for the weights %j: checkpoints depend on it', (weights, order) => {
    expect(take(new Turns(weights, zeros(weights)), 10).join('')).toBe(order);
  });

  it('keep every dataset within one row of its exact share at all times', () => {
    fc.assert(
      fc.property(someWeights, (weights) => {
        const total = sumOf(weights);
        const turns = new Turns(weights, zeros(weights));
        const own = zeros(weights);
        for (let n = 1; n <= 2 * total; n += 1) {
          own[turns.next()]! += 1;
          for (const [i, weight] of weights.entries()) {
            // In whole numbers: |n · weight / total − own| < 1.
            expect(Math.abs(n * weight - own[i]! * total)).toBeLessThan(total);
          }
        }
      }),
    );
  });

  it('give each exactly its weight in every round, and begin the next as the first', () => {
    fc.assert(
      fc.property(someWeights, (weights) => {
        const turns = new Turns(weights, zeros(weights));
        const rounds = [1, 2, 3].map(() => take(turns, sumOf(weights)));
        for (const round of rounds) {
          expect(weights.map((_, i) => round.filter((turn) => turn === i).length)).toEqual(weights);
          expect(round).toEqual(rounds[0]);
        }
        expect(turns.lags).toEqual(zeros(weights));
      }),
    );
  });

  it('go on from their lags as if they had never stopped', () => {
    fc.assert(
      fc.property(someWeights, fc.nat(200), (weights, stop) => {
        const turns = new Turns(weights, zeros(weights));
        take(turns, stop);
        const { lags } = turns;
        expect(sumOf(lags)).toBe(0);
        const rest = take(turns, 50);
        expect(take(new Turns(weights, JSON.parse(JSON.stringify(lags)) as number[]), 50)).toEqual(rest);
      }),
    );
  });

  it('stay exact with the numbers of rows of large datasets, for as many rows as anybody trains on', () => {
    const weights = [18_000_001, 9_999_999_967, 3];
    const total = sumOf(weights);
    const turns = new Turns(weights, zeros(weights));
    const own = zeros(weights);
    for (const turn of take(turns, 200_000)) own[turn]! += 1;
    for (const [i, lag] of turns.lags.entries()) {
      expect(lag).toBe(200_000 * weights[i]! - own[i]! * total);
      expect(Math.abs(lag)).toBeLessThan(total);
    }
  });
});
