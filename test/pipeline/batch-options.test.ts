import { NEVER } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { resolveSampling, type SamplingOptions } from '../../pipeline/batch-options.ts';
import { batches } from '../../pipeline/batches.ts';
import { evaluationBatches } from '../../pipeline/evaluation-batches.ts';
import type { Mixture } from '../../pipeline/mixture.ts';

const options: SamplingOptions = { batchSize: 4, seed: 1 };
const data = ['nowhere'];
const mixture: Mixture = {
  parts: [],
  maxSeqLen: 8,
  vocabSize: 5,
  specialTokenIds: { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 },
  numRows: () => 0,
};

describe('options of batches', () => {
  it('have the defaults of the README', () => {
    expect(resolveSampling({ ...options, taco: {} })).toEqual({
      batchSize: 4,
      seed: 1,
      mlmProbability: 0.15,
      taco: {
        numNegatives: 50,
        positiveWindow: 5,
        windowRule: 'readme',
        variant: 'all',
        excludeSpecial: false,
      },
    });
    expect(resolveSampling(options).taco).toBeUndefined();
  });

  it.each([
    [{ batchSize: 0 }, 'the batch size is 0'],
    [{ batchSize: 2.5 }, 'the batch size is 2.5'],
    [{ batchSize: 1, taco: {} }, 'the batch size is 1, TACO expects at least 2'],
    [{ seed: -1 }, 'the seed is -1'],
    [{ seed: 2 ** 53 }, 'the seed is'],
    [{ mlmProbability: 0 }, 'the MLM probability is 0'],
    [{ mlmProbability: 1.01 }, 'the MLM probability is 1.01'],
    [{ mlmProbability: Number.NaN }, 'the MLM probability is NaN'],
    [{ taco: { numNegatives: 0 } }, 'the number of negatives is 0'],
    [{ taco: { positiveWindow: 1 } }, 'the positive window is 1'],
    [
      { taco: { positiveWindow: 4, windowRule: 'centered' as const } },
      'the positive window is 4, the centered rule',
    ],
  ])('are refused at once, by name: %j', (change, message) => {
    const bad = { ...options, ...change };
    for (const attempt of [
      () => resolveSampling(bad),
      () => batches({ ...bad, data }, NEVER),
      () => evaluationBatches({ ...bad, mixture }),
    ]) {
      expect(attempt).toThrow(message);
      expect(attempt).toThrow(expect.objectContaining({ name: 'TacoError', code: 'bad-config' }) as Error);
    }
  });

  it('include those of the stream and of evaluation', () => {
    expect(() => batches({ ...options, data, prefetch: 0 }, NEVER)).toThrow('made ahead is 0');
    expect(() => batches({ ...options, data: [] }, NEVER)).toThrow('expected');
    expect(() => evaluationBatches({ ...options, mixture, maxRows: 0 })).toThrow('evaluation rows is 0');
  });
});
