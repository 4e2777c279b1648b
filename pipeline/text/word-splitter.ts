import type { CodePointSink } from './normalize.ts';
import type { PieceTrie } from './piece-trie.ts';
import { flagsOf, PUNCTUATION, WHITE_SPACE } from './unicode.ts';

/**
 * Cuts normalised text into words as Hugging Face's `BertPreTokenizer` does, at white space and around each
 * punctuation character, and writes the ids of each word.
 */
export class WordSplitter implements CodePointSink {
  readonly #trie: PieceTrie;
  readonly #word: Uint32Array;
  #length = 0;
  #out: Int32Array = new Int32Array(0);
  #count = 0;

  /** @param maxChars words above this length are only counted, as the trie has no use for their characters */
  constructor(trie: PieceTrie, maxChars: number) {
    this.#trie = trie;
    this.#word = new Uint32Array(maxChars);
  }

  /** Ids go to `out`, from index `count` on. There must be room for one id a byte of the text. */
  begin(out: Int32Array, count: number): void {
    this.#out = out;
    this.#count = count;
    this.#length = 0;
  }

  push(codePoint: number): void {
    const flags = flagsOf(codePoint);
    if ((flags & WHITE_SPACE) !== 0) {
      this.#endWord();
    } else if ((flags & PUNCTUATION) !== 0) {
      this.#endWord();
      this.#append(codePoint);
      this.#endWord();
    } else {
      this.#append(codePoint);
    }
  }

  /** @returns the new number of ids in `out` */
  end(): number {
    this.#endWord();
    return this.#count;
  }

  #append(codePoint: number): void {
    if (this.#length < this.#word.length) this.#word[this.#length] = codePoint;
    this.#length += 1;
  }

  #endWord(): void {
    if (this.#length === 0) return;
    this.#count = this.#trie.encodeWord(this.#word, this.#length, this.#out, this.#count);
    this.#length = 0;
  }
}
