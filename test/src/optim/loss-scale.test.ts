import { expect, it } from 'vitest';
import { initialLossScale, type LossScaleState, nextLossScale } from '../../../src/optim/loss-scale.ts';

function after(state: LossScaleState, overflows: readonly boolean[]): LossScaleState {
  return overflows.reduce(nextLossScale, state);
}
const good = (count: number): boolean[] => Array.from({ length: count }, () => false);

it('halves on each overflow, never below 1', () => {
  expect(after(initialLossScale, [true, true, true])).toEqual({ scale: 8192, numGood: 0 });
  expect(after({ scale: 2, numGood: 9 }, [true, true])).toEqual({ scale: 1, numGood: 0 });
});

it('doubles after 2,000 good updates in a row', () => {
  expect(after(initialLossScale, good(1999))).toEqual({ scale: 65_536, numGood: 1999 });
  expect(after(initialLossScale, good(2000))).toEqual({ scale: 131_072, numGood: 0 });
  expect(after(initialLossScale, [...good(1999), true, ...good(1999)])).toEqual({
    scale: 32_768,
    numGood: 1999,
  });
});

it('ends at 2^24', () => {
  expect(after({ scale: 2 ** 24, numGood: 1999 }, [false]).scale).toBe(2 ** 24);
});
