import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PieceTrie } from '../../../pipeline/text/piece-trie.ts';

const UNKNOWN = 0;

function encode(trie: PieceTrie, word: string): number[] {
  const chars = Uint32Array.from(Array.from(word, (char) => char.codePointAt(0)!));
  const out = new Int32Array(chars.length + 2);
  return Array.from(out.subarray(1, trie.encodeWord(chars, chars.length, out, 1)));
}

/** The longest piece first, by trying all lengths. */
function expectedIds(pieces: readonly string[], word: string): number[] {
  const idOf = new Map(pieces.map((piece, id) => [piece, id]));
  const chars = Array.from(word);
  const ids: number[] = [];
  for (let from = 0; from < chars.length; ) {
    let to = chars.length;
    const textTo = (end: number): string => (from > 0 ? '##' : '') + chars.slice(from, end).join('');
    while (to > from && !idOf.has(textTo(to))) to -= 1;
    if (to === from) return [UNKNOWN];
    ids.push(idOf.get(textTo(to))!);
    from = to;
  }
  return ids;
}

describe('PieceTrie', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'é', '中', '😀'), minLength: 1, maxLength: 6 });
  const piece = fc.tuple(fc.boolean(), letters).map(([isInside, text]) => (isInside ? `##${text}` : text));

  test('the longest match first, as by trying all', () => {
    fc.assert(
      fc.property(fc.uniqueArray(piece, { maxLength: 40 }), fc.array(letters), (all, words) => {
        const pieces = ['[UNK]', ...all];
        const trie = new PieceTrie(pieces, '##', UNKNOWN, 100);
        for (const word of words) expect(encode(trie, word)).toEqual(expectedIds(pieces, word));
      }),
    );
  });

  test('grows for long pieces', () => {
    const words = Array.from({ length: 500 }, (_, index) => `${index.toString(3)}${'x'.repeat(40)}`);
    const trie = new PieceTrie(['[UNK]', ...words], '##', UNKNOWN, 100);
    words.forEach((word, index) => {
      expect(encode(trie, word)).toEqual([index + 1]);
      expect(encode(trie, word.slice(0, -1))).toEqual([UNKNOWN]);
    });
  });

  test('words above the limit of characters are unknown', () => {
    const trie = new PieceTrie(['[UNK]', 'a', '##a'], '##', UNKNOWN, 3);
    expect(encode(trie, 'aaa')).toEqual([1, 2, 2]);
    expect(encode(trie, 'aaaa')).toEqual([UNKNOWN]);
  });
});
