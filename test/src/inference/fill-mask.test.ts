import { describe, expect, it } from 'vitest';
import { fillMask, type MaskFiller } from '../../../src/inference/fill-mask.ts';

const vocabulary = ['[CLS]', '[SEP]', '[MASK]', 'a', 'b', 'c'];

/** Words are single ids; logits at a mask favour the id before it. */
const filler: MaskFiller = {
  config: { maxPositions: 6 },
  tokenizer: {
    encode: (text) => Int32Array.from(text.split(' '), (word) => vocabulary.indexOf(word)),
    specialTokenIds: { cls: 0, sep: 1, mask: 2 },
    spec: { vocabulary },
  },
  session: {
    predictMasked: ({ inputIds, positions, batchSize, maxSeqLen }) => {
      expect({ batchSize, maxSeqLen }).toEqual({ batchSize: 1, maxSeqLen: inputIds.length });
      const logits = new Float32Array(positions.length * vocabulary.length);
      for (const [index, position] of positions.entries()) {
        logits[index * vocabulary.length + inputIds[position - 1]!] = Math.log(5);
      }
      return logits;
    },
  },
};

describe('fillMask', () => {
  it('gives the most probable tokens of every mask, best first', () => {
    expect(fillMask(filler, 'b [MASK] c [MASK]', 2)).toEqual([
      [
        { token: 'b', probability: expect.closeTo(0.5, 6) as number },
        { token: '[CLS]', probability: expect.closeTo(0.1, 6) as number },
      ],
      [
        { token: 'c', probability: expect.closeTo(0.5, 6) as number },
        { token: '[CLS]', probability: expect.closeTo(0.1, 6) as number },
      ],
    ]);
  });

  it('says what is wrong with a sentence', () => {
    expect(() => fillMask(filler, 'a b c')).toThrow('"a b c" has no [MASK], expected at least one');
    expect(() => fillMask(filler, 'a b [MASK] c c')).toThrow(
      'the sentence has 7 tokens, the model takes at most 6',
    );
  });
});
