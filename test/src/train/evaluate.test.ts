import { describe, expect, it } from 'vitest';
import type { Batch } from '../../../pipeline/index.ts';
import { evaluate } from '../../../src/train/evaluate.ts';
import type { EvaluationSums } from '../../../src/train/session-types.ts';

const never = new AbortController().signal;

async function* batchesOf(...sizes: readonly number[]): AsyncGenerator<Batch, void> {
  for (const batchSize of sizes) yield await Promise.resolve({ batchSize } as Batch);
}

function sessionOf(sums: readonly EvaluationSums[]) {
  let next = 0;
  return {
    evaluate: () => {
      next += 1;
      return sums[next - 1]!;
    },
  };
}

const first = { mlmLossSum: 30, mlmCorrect: 1, numMasked: 10, tcLossSum: 100, tcCorrect: 20, numAnchors: 40 };
const second = { mlmLossSum: 2, mlmCorrect: 3, numMasked: 6, tcLossSum: 4, tcCorrect: 4, numAnchors: 12 };

describe('evaluate', () => {
  it('weighs every masked token and every anchor alike, whatever its batch', async () => {
    const session = sessionOf([first, second]);
    expect(await evaluate({ session, batches: batchesOf(4, 1), signal: never })).toEqual({
      mlmLoss: 2,
      perplexity: Math.exp(2),
      mlmAccuracy: 0.25,
      tcLoss: 2,
      tcAccuracy: 24 / 52,
      numRows: 5,
      numMasked: 16,
    });
  });

  it('has no TC figures without anchors', async () => {
    const session = sessionOf([{ ...first, tcLossSum: 0, tcCorrect: 0, numAnchors: 0 }]);
    const result = await evaluate({ session, batches: batchesOf(4), signal: never });
    expect(result).toMatchObject({ mlmLoss: 3 });
    expect(result).not.toHaveProperty('tcLoss');
  });

  it('has no result without batches or masked tokens', async () => {
    expect(await evaluate({ session: sessionOf([]), batches: batchesOf(), signal: never })).toBeUndefined();
    const session = sessionOf([{ ...first, numMasked: 0 }]);
    expect(await evaluate({ session, batches: batchesOf(4), signal: never })).toBeUndefined();
  });

  it('stops between batches when interrupted, also by a timer', async () => {
    const abort = new AbortController();
    let evaluated = 0;
    const session = {
      evaluate: () => {
        evaluated += 1;
        if (evaluated === 2) {
          setImmediate(() => {
            abort.abort();
          });
        }
        return first;
      },
    };
    const result = await evaluate({ session, batches: batchesOf(1, 1, 1, 1), signal: abort.signal });
    expect(result).toBeUndefined();
    expect(evaluated).toBeLessThan(4);
  });
});
