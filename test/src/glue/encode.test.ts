import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { encodeExamples, lengthsOf, padRows, truncatedLengths } from '../../../src/glue/encode.ts';
import { GLUE_TASKS } from '../../../src/glue/tasks.ts';
import { uncasedTokenizer } from '../../support/glue.ts';

const ids = z.array(z.int());
const fixture = z
  .object({
    examples: z.array(
      z.object({
        task: z.string(),
        texts: z.array(z.string()),
        length: z.int(),
        ids,
        typeIds: ids,
        mask: ids,
      }),
    ),
    truncations: z.array(z.tuple([z.int(), z.int(), z.int(), z.int(), z.int()])),
  })
  .parse(JSON.parse(readFileSync(new URL('../../fixtures/glue/encodings.json', import.meta.url), 'utf8')));

const tokenizer = uncasedTokenizer();
const { pad, cls, sep } = tokenizer.specialTokenIds;
const exampleOf = (...texts: readonly string[]) => ({ index: 0, texts, label: undefined });

describe('encodeExamples', () => {
  it.each(Object.values(GLUE_TASKS))(
    "gives Hugging Face's ids in the shape of $title",
    ({ name, textColumns }) => {
      const cases = fixture.examples.filter(({ task }) => task === name);
      expect(cases.length).toBeGreaterThanOrEqual(18);
      for (const { texts, length, ids, typeIds, mask } of cases) {
        expect(texts).toHaveLength(textColumns.length);
        const encoded = encodeExamples([exampleOf(...texts)], tokenizer, length);
        const rows = padRows(encoded, [0], length, pad);
        const found = {
          texts,
          ids: [...rows.ids_N],
          typeIds: [...rows.typeIds_N],
          mask: [...rows.attentionMask_N],
        };
        expect(found).toEqual({ texts, ids, typeIds, mask });
      }
    },
  );

  it('keeps labels, indexes and how many were cut', () => {
    const examples = [
      { index: 7, texts: ['one two three four'], label: 3.5 },
      { index: 5, texts: ['one'], label: undefined },
    ];
    const encoded = encodeExamples(examples, tokenizer, 5);
    expect([...encoded.indexes]).toEqual([7, 5]);
    expect([...encoded.labels]).toEqual([3.5, Number.NaN]);
    expect([...lengthsOf(encoded)]).toEqual([5, 3]);
    expect(encoded.numTruncated).toBe(1);
    expect(encodeExamples([], tokenizer, 5).numExamples).toBe(0);
  });

  it('has room for long examples only', () => {
    const texts = Array.from({ length: 20 }, (_, row) => `${'word '.repeat(100 + row)} ${row}`);
    const encoded = encodeExamples(
      texts.map((text) => exampleOf(text)),
      tokenizer,
      128,
    );
    const lengths = lengthsOf(encoded);
    for (const [row, text] of texts.entries()) {
      const { ids_N } = padRows(encoded, [row], 128, pad);
      expect([...ids_N.subarray(0, lengths[row])]).toEqual([cls, ...tokenizer.encode(text), sep]);
    }
  });

  it('refuses lengths without room', () => {
    expect(() => encodeExamples([], tokenizer, 2)).toThrow('length 2, expected a whole number of at least 3');
    const encoded = encodeExamples([exampleOf('one two three')], tokenizer, 8);
    expect(() => padRows(encoded, [0], 4, pad)).toThrow('example 0 has 5 tokens, expected at most 4');
  });

  it('lays any examples out one after another, within the length, each as it would be alone', () => {
    const text = fc.string({ unit: fc.constantFrom('a', ' ', 'B', 'é', '東', '!', '👍'), maxLength: 60 });
    const arbitrary = fc.array(fc.array(text, { minLength: 2, maxLength: 2 }), { maxLength: 6 });
    fc.assert(
      fc.property(arbitrary, fc.integer({ min: 3, max: 40 }), (pairs, maxLength) => {
        const encoded = encodeExamples(
          pairs.map((texts) => exampleOf(...texts)),
          tokenizer,
          maxLength,
        );
        const lengths = lengthsOf(encoded);
        for (const [row, texts] of pairs.entries()) {
          const length = lengths[row]!;
          expect(length).toBeLessThanOrEqual(maxLength);
          const [first, second] = texts.map((each) => tokenizer.encode(each));
          const rows = padRows(encoded, [row], maxLength, pad);
          expect(rows.ids_N[0]).toBe(cls);
          expect(rows.ids_N[length - 1]).toBe(sep);
          expect(length).toBe(Math.min(maxLength, first!.length + second!.length + 3));
          expect(rows.attentionMask_N.reduce((sum, one) => sum + one, 0)).toBe(length);
          const alone = encodeExamples([exampleOf(...texts)], tokenizer, maxLength);
          expect(rows).toEqual(padRows(alone, [0], maxLength, pad));
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe('truncatedLengths', () => {
  it("keeps what Hugging Face's longest_first keeps", () => {
    expect(fixture.truncations).toHaveLength(13 * 13 * 13);
    const found = fixture.truncations.map(([first, second, length]) => [
      first,
      second,
      length,
      ...truncatedLengths(first, second, length - 3),
    ]);
    expect(found).toEqual(fixture.truncations);
  });

  it('fills the room, never exceeds it, and never cuts the shorter below half', () => {
    const size = fc.nat({ max: 600 });
    fc.assert(
      fc.property(size, size, size, (first, second, room) => {
        const [a, b] = truncatedLengths(first, second, room);
        expect(a + b).toBe(Math.min(room, first + second));
        expect(a).toBeLessThanOrEqual(first);
        expect(b).toBeLessThanOrEqual(second);
        expect(Math.min(a, b)).toBeGreaterThanOrEqual(Math.min(first, second, Math.floor(room / 2)));
      }),
    );
  });
});
