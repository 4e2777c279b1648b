import { beforeAll, describe, expect, it } from 'vitest';
import { createTokenizer } from '../../../pipeline/text/wordpiece.ts';
import { openBackend } from '../../../src/engine/backend.ts';
import { type EmbedOptions, embedTexts } from '../../../src/inference/embed.ts';
import { InferenceSession } from '../../../src/inference/inference-session.ts';
import { MINUTE, randomTensors } from '../../support/models.ts';
import { largestDifference } from '../../support/torch-fixture.ts';
import { madeUpTokenizer } from '../../support/training.ts';

const tokenizer = createTokenizer(madeUpTokenizer(MINUTE.vocabSize));
const { hiddenSize, maxPositions } = MINUTE;

beforeAll(async () => {
  await openBackend('wasm');
});

async function embed(texts: readonly string[], options: EmbedOptions = {}) {
  const session = new InferenceSession(MINUTE, randomTensors());
  try {
    return await embedTexts({ session, tokenizer, config: MINUTE }, texts, options);
  } finally {
    session.dispose();
  }
}

const words = (count: number, first = 5): string =>
  Array.from({ length: count }, (_, at) => `word${first + at}`).join(' ');

describe('embedTexts', () => {
  it('is the mean of the last layer over [CLS], the tokens and [SEP]', async () => {
    const { vectors } = await embed([words(3)]);
    const session = new InferenceSession(MINUTE, randomTensors());
    const { cls, sep } = tokenizer.specialTokenIds;
    const inputIds = Int32Array.of(cls, 5, 6, 7, sep);
    const { hidden } = session.hiddenStates({ batchSize: 1, maxSeqLen: 5, inputIds });
    session.dispose();
    for (let unit = 0; unit < hiddenSize; unit += 1) {
      const mean = [0, 1, 2, 3, 4].reduce((sum, token) => sum + hidden[token * hiddenSize + unit]!, 0) / 5;
      expect(vectors[unit]).toBeCloseTo(mean, 5);
    }
  });

  it('gives every text its own vector, whatever the others are', async () => {
    // Two batches, lengths on both sides of what is compiled, not in order.
    const texts = Array.from({ length: 21 }, (_, index) => words((index * 11) % 37, 5 + index));
    const { vectors, numCut } = await embed(texts);
    expect(numCut).toBe(0);
    for (const [index, text] of texts.entries()) {
      const { vectors: alone } = await embed([text]);
      const own = vectors.subarray(index * hiddenSize, (index + 1) * hiddenSize);
      expect(largestDifference(own, alone)).toBeLessThan(1e-5);
      expect(Math.max(...own.map(Math.abs))).toBeGreaterThan(0.1);
    }
  });

  it('cuts texts to the longest row and counts them', async () => {
    const { vectors, numCut } = await embed([words(maxPositions - 2), words(maxPositions + 10), '']);
    expect(numCut).toBe(1);
    expect(
      largestDifference(vectors.subarray(0, hiddenSize), vectors.subarray(hiddenSize, 2 * hiddenSize)),
    ).toBe(0);
  });

  it('says after each batch how many are done, and stops between batches', async () => {
    const texts = Array.from({ length: 40 }, (_, index) => words(3, 5 + index));
    const done: number[] = [];
    const onProgress = (numTexts: number) => done.push(numTexts);
    await embed(texts, { onProgress });
    expect(done.splice(0)).toEqual([16, 32, 40]);
    const abort = new AbortController();
    setImmediate(() => {
      abort.abort();
    });
    await expect(embed(texts, { signal: abort.signal, onProgress })).rejects.toThrow('aborted');
    expect(done.length).toBeLessThan(2);
  });
});
