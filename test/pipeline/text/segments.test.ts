import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { builtinTokenizer } from '../../../pipeline/text/builtin-vocabulary.ts';
import { segmentsOf } from '../../../pipeline/text/segments.ts';
import { createSpec } from '../../../pipeline/text/vocabulary.ts';
import { createTokenizer } from '../../../pipeline/text/wordpiece.ts';

const isBlank = Uint8Array.from({ length: 256 }, (_, byte) => (byte === 0x20 || byte === 0x0a ? 1 : 0));

describe('segments', () => {
  test('are the text again, each of the size at least, cut behind white space', () => {
    const bytes = fc.array(fc.constantFrom(0x20, 0x0a, 0x61, 0xc3, 0xa9), { maxLength: 80 });
    fc.assert(
      fc.property(bytes, fc.integer({ min: 1, max: 12 }), (values, size) => {
        const text = Uint8Array.from(values);
        const segments = [...segmentsOf(text, isBlank, size)];
        expect(segments.flatMap((segment) => [...segment])).toEqual(values);
        for (const segment of segments.slice(0, -1)) {
          expect(segment.length).toBeGreaterThanOrEqual(size);
          expect(isBlank[segment.at(-1)!]).toBe(1);
          expect(segment.subarray(size - 1, -1).every((byte) => isBlank[byte] === 0)).toBe(true);
        }
      }),
    );
  });
});

/** Five megabytes, so that it is cut: words, marks behind spaces, an added token, a long run without a space. */
const pattern = `Word [MASK] a\u0301b \u0301x, ${'\u4e00\u4e8c'.repeat(50)}\n[SEP]tail `;
const huge = new TextEncoder().encode(pattern.repeat(Math.ceil(5e6 / Buffer.byteLength(pattern))));

test('a huge document has the ids of its words, as many times as they are there', () => {
  const tokenizer = createTokenizer(builtinTokenizer());
  const once = tokenizer.encode(pattern);
  const small = new TextEncoder().encode(pattern);
  const text = new Uint8Array([...small, ...huge]);
  const { ids, ends, numUnknown } = tokenizer.encodeDocuments(
    text,
    Uint32Array.of(small.length, text.length),
  );
  const repeats = huge.length / small.length + 1;
  expect([...ends]).toEqual([once.length, once.length * repeats]);
  const isEqual = ids.every((id, index) => id === once[index % once.length]);
  expect(isEqual).toBe(true);
  expect(numUnknown).toBe(repeats * once.filter((id) => id === 100).length);
});

test('a huge document comes within [CLS] and [SEP] as others do', () => {
  const tokenizer = createTokenizer(builtinTokenizer());
  const { cls, sep } = tokenizer.specialTokenIds;
  const once = tokenizer.encode(pattern);
  const small = new TextEncoder().encode(pattern);
  const text = new Uint8Array([...small, ...small, ...huge]);
  const lengths = Uint32Array.of(small.length, small.length, 2 * small.length, text.length);
  const { ids, ends, numTokens } = tokenizer.encodeDocuments(text, lengths, { addSpecialTokens: true });
  const plain = tokenizer.encodeDocuments(text, lengths);
  expect(plain.numTokens).toBe(plain.ids.length);
  expect(numTokens).toBe(plain.ids.length);
  // The second document is empty.
  const frame = once.length + 2;
  expect([...ends]).toEqual([frame, frame, 2 * frame, plain.ids.length + 6]);
  expect([...ids.subarray(0, 2 * frame)]).toEqual([cls, ...once, sep, cls, ...once, sep]);
  expect([ids[2 * frame], ids.at(-1)]).toEqual([cls, sep]);
  const inner = ids.subarray(2 * frame + 1, -1);
  expect(inner.every((id, index) => id === once[index % once.length])).toBe(true);
});

test('a huge document is not cut where an added token holds white space', () => {
  const spec = builtinTokenizer();
  const added = {
    content: '[two words]',
    id: spec.vocabulary.length,
    special: false,
    singleWord: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  };
  const tokenizer = createTokenizer(createSpec({ vocabulary: spec.vocabulary, addedTokens: [added] }));
  const piece = '[two words]';
  const text = new TextEncoder().encode(piece.repeat(Math.ceil(4.5e6 / piece.length)));
  const { ids } = tokenizer.encodeDocuments(text, Uint32Array.of(text.length));
  expect(ids.length).toBe(text.length / piece.length);
  expect(ids.every((id) => id === added.id)).toBe(true);
});
