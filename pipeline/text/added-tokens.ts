import { flagsOf, WHITE_SPACE, WORD } from './unicode.ts';
import { REPLACEMENT } from './utf8.ts';
import type { AddedToken } from './vocabulary.ts';

/** Text as bytes or as code points. */
type Units = Uint8Array | Uint32Array;

interface Pattern {
  readonly token: AddedToken;
  readonly units: Units;
}

/** A part of a text: an added token, or text between them. */
export interface Part {
  readonly start: number;
  readonly end: number;
  /** Undefined for text. */
  readonly id: number | undefined;
}

/** Finds added tokens in a text, the leftmost first, the longest of those that begin at one place. */
export class AddedTokenMatcher {
  /** Patterns by their first unit, longest first. */
  readonly #patterns = new Map<number, Pattern[]>();
  /** [256] 1 for the low bytes of first units. */
  readonly #mayBeFirst = new Uint8Array(256);
  /** The only first unit there is: then the search for it is the engine's own. */
  readonly #onlyFirst: number | undefined;

  constructor(tokens: readonly AddedToken[], unitsOf: (content: string) => Units) {
    for (const token of tokens) {
      const units = unitsOf(token.content);
      if (units.length === 0) continue;
      const sameFirst = this.#patterns.get(units[0]!) ?? [];
      sameFirst.push({ token, units });
      sameFirst.sort((a, b) => b.units.length - a.units.length);
      this.#patterns.set(units[0]!, sameFirst);
      this.#mayBeFirst[units[0]! & 0xff] = 1;
    }
    this.#onlyFirst = this.#patterns.size === 1 ? [...this.#patterns.keys()][0] : undefined;
  }

  get isEmpty(): boolean {
    return this.#patterns.size === 0;
  }

  /** The next place from `from` on where a token may begin, or `end` where there is none before. */
  nextCandidate(text: Units, from: number, end: number): number {
    if (this.isEmpty) return end;
    if (this.#onlyFirst !== undefined) {
      const found = text.indexOf(this.#onlyFirst, from);
      return found < 0 || found > end ? end : found;
    }
    let at = from;
    while (at < end && !(this.#mayBeFirst[text[at]! & 0xff] === 1 && this.#patterns.has(text[at]!))) at += 1;
    return at;
  }

  /** The longest token that lies at `at` and ends at `end` or before. */
  longestAt(text: Units, at: number, end: number): Pattern | undefined {
    return this.#patterns
      .get(text[at]!)
      ?.find(
        ({ units }) => at + units.length <= end && units.every((unit, index) => text[at + index] === unit),
      );
  }

  /**
   * Cuts code points at the added tokens in them, with all their flags.
   * @returns parts without gaps between them but white space that a token swallowed
   */
  split(text: Uint32Array): readonly Part[] {
    const parts: Part[] = [];
    let done = 0;
    let at = this.nextCandidate(text, 0, text.length);
    while (at < text.length) {
      const match = this.longestAt(text, at, text.length);
      if (match === undefined) {
        at = this.nextCandidate(text, at + 1, text.length);
        continue;
      }
      const { token, units } = match;
      const matchEnd = at + units.length;
      if (!token.singleWord || (!hasFlag(text, at - 1, WORD) && !hasFlag(text, matchEnd, WORD))) {
        let start = at;
        let end = matchEnd;
        if (token.lstrip) while (start > done && hasFlag(text, start - 1, WHITE_SPACE)) start -= 1;
        if (token.rstrip) while (hasFlag(text, end, WHITE_SPACE)) end += 1;
        if (done < start) parts.push({ start: done, end: start, id: undefined });
        parts.push({ start, end, id: token.id });
        done = end;
      }
      at = this.nextCandidate(text, matchEnd, text.length);
    }
    if (done < text.length) parts.push({ start: done, end: text.length, id: undefined });
    return parts;
  }
}

function hasFlag(text: Uint32Array, at: number, flag: number): boolean {
  const codePoint = text[at];
  return codePoint !== undefined && (flagsOf(codePoint) & flag) !== 0;
}

/**
 * Whether a token can be found in raw bytes without looking at what surrounds it. White space that a token swallows
 * has no ids anyway, so `lstrip` and `rstrip` do not matter.
 */
export function isPlain(token: AddedToken): boolean {
  // Malformed bytes read as U+FFFD, so a token with that character has more than one spelling in bytes.
  return !token.normalized && !token.singleWord && !token.content.includes(String.fromCodePoint(REPLACEMENT));
}
