/** Nodes where a walk through the trie begins. */
const WORD_START = 0;
const INSIDE_WORD = 1;

const NO_ID = -1;
/** Numbers of one table entry: parent, code point, node, id of the piece that ends here. */
const STRIDE = 4;
const EMPTY = -1;

/**
 * The pieces of a vocabulary as a trie over code points, for WordPiece's greedy longest match. All edges lie in one
 * open-addressed table, an edge with its node and that node's id side by side: one memory access a step.
 */
export class PieceTrie {
  readonly #table: Int32Array;
  readonly #mask: number;
  readonly #unknownId: number;
  readonly #maxChars: number;

  /**
   * @param pieces token of each id; empty where an id has none
   * @param continuingPrefix what a piece inside a word begins with
   * @param unknownId id of words that cannot be made of pieces
   * @param maxChars longer words are unknown
   */
  constructor(pieces: readonly string[], continuingPrefix: string, unknownId: number, maxChars: number) {
    let numEdges = 0;
    for (const piece of pieces) numEdges += 2 * piece.length;
    // At most half full, so that a failed look-up ends soon. The count is an upper bound: prefixes are shared.
    let capacity = 1024;
    while (capacity < numEdges) capacity *= 2;
    this.#table = new Int32Array(capacity * STRIDE).fill(EMPTY);
    this.#mask = capacity - 1;
    this.#unknownId = unknownId;
    this.#maxChars = maxChars;

    let numNodes = 2;
    const insert = (root: number, text: string, id: number): void => {
      let node = root;
      let slot = EMPTY;
      for (const char of text) {
        const codePoint = char.codePointAt(0)!;
        slot = this.#slotOf(node, codePoint);
        if (this.#table[slot] === EMPTY) {
          this.#table.set([node, codePoint, numNodes, NO_ID], slot);
          numNodes += 1;
        }
        node = this.#table[slot + 2]!;
      }
      if (slot !== EMPTY) this.#table[slot + 3] = id;
    };
    pieces.forEach((piece, id) => {
      insert(WORD_START, piece, id);
      if (piece.startsWith(continuingPrefix)) insert(INSIDE_WORD, piece.slice(continuingPrefix.length), id);
    });
  }

  /** Where the edge lies, or the empty entry where it would. */
  #slotOf(node: number, codePoint: number): number {
    const table = this.#table;
    let hash = Math.imul(node, 0x9e3779b1) ^ Math.imul(codePoint, 0x85ebca6b);
    hash ^= hash >>> 15;
    let index = hash & this.#mask;
    for (;;) {
      const slot = index * STRIDE;
      const parent = table[slot]!;
      if (parent === EMPTY || (parent === node && table[slot + 1] === codePoint)) return slot;
      index = (index + 1) & this.#mask;
    }
  }

  /**
   * Writes the ids of one word: the longest piece that it begins with, then the longest of the rest, and so on; the
   * unknown id alone where no piece fits (Wu et al. 2016; as in Hugging Face's `WordPiece`).
   * @param chars code points of the word, from index 0
   * @param length how many, at least 1; may be more than `chars` holds when it is above the limit of characters
   * @returns the new number of ids in `out`
   */
  encodeWord(chars: Uint32Array, length: number, out: Int32Array, count: number): number {
    let numIds = count;
    let position = length > this.#maxChars ? length : 0;
    if (position === length) {
      out[numIds] = this.#unknownId;
      return numIds + 1;
    }
    while (position < length) {
      let node = position === 0 ? WORD_START : INSIDE_WORD;
      let longestId = NO_ID;
      let longestEnd = position;
      for (let at = position; at < length; at += 1) {
        const slot = this.#slotOf(node, chars[at]!);
        if (this.#table[slot] === EMPTY) break;
        node = this.#table[slot + 2]!;
        const id = this.#table[slot + 3]!;
        if (id !== NO_ID) {
          longestId = id;
          longestEnd = at + 1;
        }
      }
      if (longestId === NO_ID) {
        out[count] = this.#unknownId;
        return count + 1;
      }
      out[numIds] = longestId;
      numIds += 1;
      position = longestEnd;
    }
    return numIds;
  }
}
