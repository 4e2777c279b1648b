import {
  ACTION_BITS,
  ACTION_MASK,
  BREAK,
  CHARACTER,
  type CharacterTable,
  IN_CONTEXT,
  SEQUENCE,
  UNSEEN,
  WORD_OF_ONE,
} from './character-table.ts';
import { Normalizer, type NormalizerSettings } from './normalize.ts';
import type { PieceTrie } from './piece-trie.ts';
import { Utf8Reader } from './utf8.ts';
import { WordSplitter } from './word-splitter.ts';

/** From UTF-8 to ids in one pass: decodes, normalises, cuts into words and looks these up in the trie. */
export class WordEncoder {
  readonly #trie: PieceTrie;
  readonly #table: CharacterTable;
  readonly #reader = new Utf8Reader();
  readonly #normalizer: Normalizer;
  readonly #splitter: WordSplitter;
  readonly #word: Uint32Array;

  /** @param maxChars longest word that `trie` looks at */
  constructor(settings: NormalizerSettings, table: CharacterTable, trie: PieceTrie, maxChars: number) {
    this.#trie = trie;
    this.#table = table;
    this.#splitter = new WordSplitter(trie, maxChars);
    this.#normalizer = new Normalizer(settings, this.#splitter);
    this.#word = new Uint32Array(maxChars);
  }

  /**
   * Writes the ids of a text to `out`, where there must be room for one a byte, from index `count` on.
   * @returns the new number of ids in `out`
   */
  encode(text: Uint8Array, start: number, end: number, out: Int32Array, count: number): number {
    const actions = this.#table.actions;
    const word = this.#word;
    const maxChars = word.length;
    let numIds = count;
    let length = 0;
    let at = start;
    while (at < end) {
      let codePoint = text[at]!;
      if (codePoint < 0x80) {
        at += 1;
      } else {
        // The common well-formed characters of two and three bytes; the reader knows all others.
        const second = at + 1 < end ? text[at + 1]! ^ 0x80 : 0xff;
        const third = at + 2 < end ? text[at + 2]! ^ 0x80 : 0xff;
        if (codePoint >= 0xc2 && codePoint < 0xe0 && second < 0x40) {
          codePoint = ((codePoint & 0x1f) << 6) | second;
          at += 2;
        } else if (codePoint > 0xe0 && codePoint < 0xf0 && codePoint !== 0xed && (second | third) < 0x40) {
          codePoint = ((codePoint & 0xf) << 12) | (second << 6) | third;
          at += 3;
        } else {
          this.#reader.position = at;
          codePoint = this.#reader.next(text, end);
          at = this.#reader.position;
        }
      }
      let action = actions[codePoint]!;
      if (action === UNSEEN) action = this.#table.learn(codePoint);
      const kind = action & ACTION_MASK;
      if (kind === CHARACTER) {
        if (length < maxChars) word[length] = action >> ACTION_BITS;
        length += 1;
      } else if (kind === SEQUENCE) {
        for (const part of this.#table.sequences[action >> ACTION_BITS]!) {
          if (length < maxChars) word[length] = part;
          length += 1;
        }
      } else if (kind === WORD_OF_ONE || kind === BREAK) {
        if (length > 0) numIds = this.#trie.encodeWord(word, length, out, numIds);
        length = 0;
        if (kind === WORD_OF_ONE) {
          out[numIds] = action >> ACTION_BITS;
          numIds += 1;
        }
      } else if (kind === IN_CONTEXT) {
        return this.#encodeInContext(text, start, end, out, count);
      }
    }
    return length > 0 ? this.#trie.encodeWord(word, length, out, numIds) : numIds;
  }

  /** The same, step by step, with marks put in order. */
  #encodeInContext(text: Uint8Array, start: number, end: number, out: Int32Array, count: number): number {
    const reader = this.#reader;
    this.#splitter.begin(out, count);
    reader.position = start;
    while (reader.position < end) this.#normalizer.push(reader.next(text, end));
    this.#normalizer.end();
    return this.#splitter.end();
  }

  /** Ids of text that is normalised already. */
  encodeNormalized(text: Uint32Array, out: Int32Array, count: number): number {
    this.#splitter.begin(out, count);
    for (const codePoint of text) this.#splitter.push(codePoint);
    return this.#splitter.end();
  }
}
