import { describe, expect, it } from 'vitest';
import { modelPreset } from '../../../src/model/config.ts';
import { requireFit } from '../../../src/train/initial-weights.ts';
import { madeUpTokenizer } from '../../support/training.ts';

describe('requireFit', () => {
  const tokenizer = madeUpTokenizer(1100);
  const model = modelPreset('tiny', { vocabSize: 1100, hiddenSize: 8, intermediateSize: 8 });

  it.each([
    [
      { vocabSize: 30_522 },
      'a vocabulary of 30522, the model to train 1100; prepare the data with its tokenizer',
    ],
    [{ hiddenSize: 512 }, 'a width of 512, the model to train 8; choose its size'],
    [{ numLayers: 12 }, 'layers: 12, the model to train 2; choose its size'],
    [{ numHeads: 4 }, 'heads: 4, the model to train 2; choose its size'],
    [{ maxPositions: 64 }, 'positions: 64, the model to train 512; choose its size'],
  ])('refuses %j', (change, message) => {
    const check = () => {
      requireFit('folder', { config: { ...model, ...change }, tokenizer }, { model, tokenizer });
    };
    expect(check).toThrow(expect.objectContaining({ code: 'mismatch' }) as Error);
    expect(check).toThrow(`--init-from folder has ${message}`);
  });

  it('refuses other words, also when there are as many', () => {
    const check = (vocabulary: readonly string[]) => () => {
      const theirs = { ...tokenizer, vocabulary: [...vocabulary] };
      requireFit('folder', { config: model, tokenizer: theirs }, { model, tokenizer });
    };
    const words = tokenizer.vocabulary;
    check(words)();
    expect(check(words.with(7, 'other'))).toThrow('its id 7 is "other", that of the data "word7"');
    expect(check([...words, 'more'])).toThrow('its id 1100 is "more", that of the data no word');
    requireFit('folder', { config: model, tokenizer: undefined }, { model, tokenizer });
  });
});
