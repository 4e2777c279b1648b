import { flagsOf, PUNCTUATION, WHITE_SPACE } from './unicode.ts';

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
  #table: Int32Array;
  #mask: number;
  #numNodes = 2;
  readonly #unknownId: number;
  readonly #maxChars: number;

  /**
   * @param pieces token of each id; empty where an id has none
   * @param continuingPrefix what a piece inside a word begins with
   * @param unknownId id of words that cannot be made of pieces
   * @param maxChars longer words are unknown
   */
  constructor(pieces: readonly string[], continuingPrefix: string, unknownId: number, maxChars: number) {
    this.#unknownId = unknownId;
    this.#maxChars = maxChars;
    // Vocabularies of BERT have two nodes a piece.
    let capacity = 1024;
    while (capacity < 4 * pieces.length) capacity *= 2;
    this.#table = emptyTable(capacity);
    this.#mask = capacity - 1;
    const prefix = codePointsOf(continuingPrefix);
    for (let id = 0; id < pieces.length; id += 1) {
      const chars = codePointsOf(pieces[id]!);
      this.#insert(WORD_START, chars, 0, id);
      if (prefix.every((char, index) => chars[index] === char)) {
        this.#insert(INSIDE_WORD, chars, prefix.length, id);
      }
    }
  }

  #insert(root: number, chars: readonly number[], from: number, id: number): void {
    if (isNoPartOfAWord(chars, from, root)) return;
    let node = root;
    let slot = EMPTY;
    for (let at = from; at < chars.length; at += 1) {
      const codePoint = chars[at]!;
      slot = this.#slotOf(node, codePoint);
      if (this.#table[slot] === EMPTY) {
        // At most half full, so that a failed look-up ends soon.
        if (2 * this.#numNodes > this.#mask) {
          this.#grow();
          slot = this.#slotOf(node, codePoint);
        }
        this.#setEdge(slot, node, codePoint, this.#numNodes, NO_ID);
        this.#numNodes += 1;
      }
      node = this.#table[slot + 2]!;
    }
    if (slot !== EMPTY) this.#table[slot + 3] = id;
  }

  #setEdge(slot: number, parent: number, codePoint: number, node: number, id: number): void {
    this.#table[slot] = parent;
    this.#table[slot + 1] = codePoint;
    this.#table[slot + 2] = node;
    this.#table[slot + 3] = id;
  }

  #grow(): void {
    const old = this.#table;
    this.#table = emptyTable(2 * (this.#mask + 1));
    this.#mask = 2 * this.#mask + 1;
    for (let slot = 0; slot < old.length; slot += STRIDE) {
      const parent = old[slot]!;
      const codePoint = old[slot + 1]!;
      if (parent === EMPTY) continue;
      this.#setEdge(this.#slotOf(parent, codePoint), parent, codePoint, old[slot + 2]!, old[slot + 3]!);
    }
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
    const table = this.#table;
    while (position < length) {
      let node = position === 0 ? WORD_START : INSIDE_WORD;
      let longestId = NO_ID;
      let longestEnd = position;
      for (let at = position; at < length; at += 1) {
        const slot = this.#slotOf(node, chars[at]!);
        if (table[slot] === EMPTY) break;
        node = table[slot + 2]!;
        const id = table[slot + 3]!;
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

function emptyTable(numEntries: number): Int32Array {
  return new Int32Array(numEntries * STRIDE).fill(EMPTY);
}

function codePointsOf(text: string): number[] {
  const result: number[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const codePoint = text.codePointAt(at)!;
    if (codePoint > 0xffff) at += 1;
    result.push(codePoint);
  }
  return result;
}

/**
 * Whether no word can have the piece: words are cut at white space and around each punctuation character. Such are
 * `[unused1]`, and at a word's start `##ing`; without them the trie is a third smaller.
 */
function isNoPartOfAWord(chars: readonly number[], from: number, root: number): boolean {
  let hasPunctuation = false;
  for (let at = from; at < chars.length; at += 1) {
    const flags = flagsOf(chars[at]!);
    if ((flags & WHITE_SPACE) !== 0) return true;
    if ((flags & PUNCTUATION) !== 0) hasPunctuation = true;
  }
  return hasPunctuation && (chars.length - from > 1 || root === INSIDE_WORD);
}
