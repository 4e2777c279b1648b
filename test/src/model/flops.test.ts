import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { modelPreset } from '../../../src/model/config.ts';
import { trainingStepFlops } from '../../../src/model/flops.ts';

describe('floating-point operations of a training step', () => {
  it('are those of a model counted by hand', () => {
    const model = modelPreset('tiny', { hiddenSize: 4, numHeads: 2, intermediateSize: 6, vocabSize: 10 });
    // Two rows of three tokens: products of 6 × 4 × 12, of 4 pairs of row and head 3 × 2 × 3 and 3 × 3 × 2, of
    // 6 × 4 × 4, of 6 × 4 × 6 and 6 × 6 × 4; for five masked tokens 5 × 4 × 4 and 5 × 4 × 10.
    const layer = 2 * (288 + 4 * (18 + 18) + 96 + 144 + 144);
    const head = 2 * (80 + 200);
    expect(trainingStepFlops(model, { batchSize: 2, maxSeqLen: 3, numMasked: 5 })).toBe(
      3 * (2 * layer + head),
    );
  });

  it('are 190 billion for BERT-small on 16 rows of 128 tokens', () => {
    // A layer 2 · 2,048 · (4 · 512² + 2 · 512 · 2,048) + 4 · 2,048 · 128 · 512 = 13,421,772,800; the head
    // 2 · 307 · 512 · (512 + 30,522) = 9,756,096,512.
    const sizes = { batchSize: 16, maxSeqLen: 128, numMasked: 307 };
    expect(trainingStepFlops(modelPreset('small'), sizes)).toBe(3 * (4 * 13_421_772_800 + 9_756_096_512));
  });

  it('come near six for each weight and token where rows are short and every token is masked', () => {
    const model = modelPreset('base');
    const { hiddenSize, intermediateSize, numLayers, vocabSize } = model;
    const weights =
      numLayers * (4 * hiddenSize ** 2 + 2 * hiddenSize * intermediateSize) +
      hiddenSize * (hiddenSize + vocabSize);
    const flops = trainingStepFlops(model, { batchSize: 1, maxSeqLen: 1, numMasked: 1 });
    expect(flops / (6 * weights)).toBeGreaterThan(1);
    expect(flops / (6 * weights)).toBeLessThan(1.001);
  });

  it('add up over rows, and grow with the square of their length in attention alone', () => {
    const size = fc.integer({ min: 1, max: 64 });
    fc.assert(
      fc.property(size, size, size, (batchSize, maxSeqLen, numMasked) => {
        const model = modelPreset('tiny');
        const of = (rows: number, length: number) =>
          trainingStepFlops(model, { batchSize: rows, maxSeqLen: length, numMasked });
        const none = trainingStepFlops(model, { batchSize, maxSeqLen, numMasked: 0 });
        expect(of(2 * batchSize, maxSeqLen) - of(batchSize, maxSeqLen)).toBe(none);
        const attention = 12 * model.numLayers * 2 * batchSize * maxSeqLen ** 2 * model.hiddenSize;
        expect(of(batchSize, 2 * maxSeqLen) - of(2 * batchSize, maxSeqLen)).toBe(attention);
      }),
    );
  });
});
