import { Normalizer, type NormalizerSettings } from './normalize.ts';
import type { PieceTrie } from './piece-trie.ts';
import {
  combiningRank,
  DECOMPOSES,
  decompositionOf,
  flagsOf,
  NONSPACING,
  PUNCTUATION,
  WHITE_SPACE,
} from './unicode.ts';

/** What a code point is to a word, whatever surrounds it: the low bits of an action. */
export const ACTION_BITS = 3;
export const ACTION_MASK = (1 << ACTION_BITS) - 1;
/** Its action is to be asked for with `learn`. */
export const UNSEEN = 0;
/** The word goes on with the one code point above the low bits. */
export const CHARACTER = 1;
/** The word goes on with several: those of `sequences` at the index above the low bits. */
export const SEQUENCE = 2;
/** Nothing is left of it. */
export const NOTHING = 3;
/** Ends the word. */
export const BREAK = 4;
/** Ends the word and is one by itself, which has the id above the low bits. */
export const WORD_OF_ONE = 5;
/** Depends on what surrounds it: only the normaliser knows. */
export const IN_CONTEXT = 6;

const NUM_CODE_POINTS = 0x11_0000;

/**
 * What normalisation and the cutting into words make of each code point, so that both are one look-up. The normaliser
 * itself is asked, once for each code point that occurs.
 */
export class CharacterTable {
  /** [0x110000] action of each code point; memory is taken for the parts in use alone. */
  readonly actions = new Int32Array(NUM_CODE_POINTS);
  readonly sequences: (readonly number[])[] = [];
  readonly #settings: NormalizerSettings;
  readonly #trie: PieceTrie;
  readonly #normalizer: Normalizer;
  readonly #parts: number[] = [];
  readonly #id = new Int32Array(1);

  constructor(settings: NormalizerSettings, trie: PieceTrie) {
    this.#settings = settings;
    this.#trie = trie;
    this.#normalizer = new Normalizer(settings, { push: (part) => this.#parts.push(part) });
  }

  /** For code points that no word contains: the id, or -1 for those that have none. */
  separatorId(codePoint: number): number | undefined {
    const action = this.learn(codePoint);
    const kind = action & ACTION_MASK;
    if (kind === BREAK) return -1;
    return kind === WORD_OF_ONE ? action >> ACTION_BITS : undefined;
  }

  /** Finds the action of a code point and keeps it. */
  learn(codePoint: number): number {
    const action = this.#actionOf(codePoint);
    this.actions[codePoint] = action;
    return action;
  }

  #idOf(codePoint: number): number {
    this.#trie.encodeWord(Uint32Array.of(codePoint), 1, this.#id, 0);
    return this.#id[0]!;
  }

  #actionOf(codePoint: number): number {
    if (this.#settings.stripAccents && isMovable(codePoint)) return IN_CONTEXT;
    this.#parts.length = 0;
    this.#normalizer.push(codePoint);
    this.#normalizer.end();
    const parts = this.#parts;
    if (parts.length === 0) return NOTHING;
    const words = parts.filter((part) => (flagsOf(part) & WHITE_SPACE) === 0);
    if (words.length === 0) return BREAK;
    const [first] = words as [number];
    const isCutOut = parts.length === 3 && words.length === 1 && parts[1] === first;
    if (isCutOut || (parts.length === 1 && (flagsOf(first) & PUNCTUATION) !== 0)) {
      return (this.#idOf(first) << ACTION_BITS) | WORD_OF_ONE;
    }
    const isWhole =
      words.length === parts.length && parts.every((part) => (flagsOf(part) & PUNCTUATION) === 0);
    if (!isWhole) return IN_CONTEXT;
    if (parts.length === 1) return (first << ACTION_BITS) | CHARACTER;
    this.sequences.push([...parts]);
    return ((this.sequences.length - 1) << ACTION_BITS) | SEQUENCE;
  }
}

/** Whether canonical ordering can move the code point, or a part of it, among others that stay. */
function isMovable(codePoint: number): boolean {
  const parts = (flagsOf(codePoint) & DECOMPOSES) === 0 ? [codePoint] : decompositionOf(codePoint);
  return parts.some((part) => combiningRank(part) !== 0 && (flagsOf(part) & NONSPACING) === 0);
}
