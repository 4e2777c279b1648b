import { describe, expect, it } from 'vitest';
import { builtinTokenizer } from '../../../pipeline/text/builtin-vocabulary.ts';
import { hashDocument } from '../../../pipeline/text/document-hash.ts';
import { createTokenizer } from '../../../pipeline/text/wordpiece.ts';
import { validationRule } from '../../../pipeline/validation.ts';
import { PartEncoder } from '../../../pipeline/workers/part-encoder.ts';

const spec = builtinTokenizer();
const { cls, sep, unk } = spec.specialTokenIds;

/** The last but one has no token, more documents than the memory that is there at first is made for. */
const texts = [
  ...Array.from(
    { length: 3000 },
    (_, index) => `Sentence ${index} says ${'so '.repeat(index % 9)}\u{1F980}é.`,
  ),
  ' \n ',
  'The end',
];

function joined(documents: readonly string[]): { text: Uint8Array; ends: Uint32Array } {
  let end = 0;
  return {
    text: Buffer.from(documents.join('')),
    ends: Uint32Array.from(documents, (document) => (end += Buffer.byteLength(document))),
  };
}

function hashOf(document: string): Uint32Array {
  const bytes = Buffer.from(document);
  const out = new Uint32Array(4);
  hashDocument(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length, out, 0);
  return out;
}

describe.each([
  ['none', undefined],
  ['none', new SharedArrayBuffer(1 << 20)],
  ['exact', undefined],
  ['exact', new SharedArrayBuffer(1 << 20)],
  ['exact', new SharedArrayBuffer(16)],
] as const)('a part, dedup %s, spare memory %o', (dedup, spare) => {
  const settings = { validation: 0.1, seed: 5, dedup };
  const { text, ends } = joined(texts);
  const part = new PartEncoder(spec, settings).encode(text, ends, spare);

  it('has the ids of each document within [CLS] and [SEP], and nothing of one without a token', () => {
    const tokenizer = createTokenizer(spec);
    const wanted = texts.map((document) => {
      const ids = [...tokenizer.encode(document)];
      return ids.length === 0 ? [] : [cls, ...ids, sep];
    });
    expect([...part.ids]).toEqual(wanted.flat());
    let end = 0;
    expect([...part.ends]).toEqual(wanted.map((ids) => (end += ids.length)));
    expect(part.numTokens).toBe(wanted.flat().length - 2 * (texts.length - 1));
    expect(part.numUnknown).toBe(wanted.flat().filter((id) => id === unk).length);
    expect(part.numUnknown).toBe(3000);
    expect(part.textBytes).toBe(text.length);
    expect(part.numCharacters).toBe(Array.from(texts.join('')).length);
  });

  it('names the documents of validation, and brings hashes where duplicates are looked for', () => {
    const rule = validationRule(settings);
    const hashes = texts.map(hashOf);
    const places = hashes.flatMap(([low, high], place) => (rule(low!, high!) ? [place] : []));
    expect(places.length).toBeGreaterThan(200);
    expect([...part.validation]).toEqual(places);
    if (dedup === 'none') expect(part.hashes).toBeUndefined();
    else expect([...part.hashes!]).toEqual(hashes.flatMap((lanes) => [...lanes]));
  });

  it('lies in the spare memory where that is large enough', () => {
    const isThere = part.ids.buffer === spare;
    expect(isThere).toBe(spare !== undefined && spare.byteLength > 16);
    expect(part.ends.buffer).toBe(part.ids.buffer);
  });
});
