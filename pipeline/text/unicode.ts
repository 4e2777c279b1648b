import { CLASS_TABLE, DECOMPOSITION_TABLE, LOWERCASE_TABLE, RUN_TABLE } from './unicode-tables.ts';

/**
 * What Hugging Face's tokenizers knows of each code point. Independent of the Unicode version of the Node that
 * runs this: the tables come from the library itself.
 */

/** Bits of `flagsOf`; the script that generates the tables names them too. */
export const REMOVED = 1 << 0; // by cleaning
export const TO_SPACE = 1 << 1; // by cleaning
export const IDEOGRAPH = 1 << 2; // set off by spaces
export const NONSPACING = 1 << 3; // dropped with the accents
export const PUNCTUATION = 1 << 4; // a word of its own
export const WHITE_SPACE = 1 << 5;
export const WORD = 1 << 6; // `\w` of Rust's regex
export const DECOMPOSES = 1 << 7;
export const LOWERCASES = 1 << 8;

const NUM_CODE_POINTS = 0x11_0000;

const rows = (table: string): readonly (readonly number[])[] =>
  table.split(';').map((row) => row.split(',').map((digits) => Number.parseInt(digits, 36)));

const classes = rows(CLASS_TABLE);
const flagsOfClass = Uint16Array.from(classes, (row) => row[0]!);
const rankOfClass = Uint8Array.from(classes, (row) => row[1]!);

const classOf = new Uint8Array(NUM_CODE_POINTS);
let next = 0;
for (const [length, index] of rows(RUN_TABLE)) {
  classOf.fill(index!, next, next + length!);
  next += length!;
}

const decompositions = mappings(DECOMPOSITION_TABLE);
const lowercases = mappings(LOWERCASE_TABLE);

function mappings(table: string): ReadonlyMap<number, readonly number[]> {
  const result = new Map<number, readonly number[]>();
  let codePoint = 0;
  for (const [distance, ...parts] of rows(table)) {
    codePoint += distance!;
    result.set(codePoint, parts);
  }
  return result;
}

/** The bits above, of a code point. */
export function flagsOf(codePoint: number): number {
  return flagsOfClass[classOf[codePoint]!]!;
}

/**
 * Rank of a mark in canonical ordering, 0 where it does not take part. Ranks order as Unicode's canonical
 * combining classes do.
 */
export function combiningRank(codePoint: number): number {
  return rankOfClass[classOf[codePoint]!]!;
}

const HANGUL_FIRST = 0xac00;
const NUM_HANGUL = 11_172;

/**
 * Full canonical decomposition (NFD) of a code point whose flags have `DECOMPOSES`. Hangul syllables follow the
 * arithmetic of the Unicode Standard, section 3.12.
 */
export function decompositionOf(codePoint: number): readonly number[] {
  const index = codePoint - HANGUL_FIRST;
  if (index < 0 || index >= NUM_HANGUL) return decompositions.get(codePoint)!;
  const leading = 0x1100 + Math.floor(index / 588);
  const vowel = 0x1161 + Math.floor((index % 588) / 28);
  return index % 28 === 0 ? [leading, vowel] : [leading, vowel, 0x11a7 + (index % 28)];
}

/** Lower case of a code point whose flags have `LOWERCASES`; context plays no part. */
export function lowercaseOf(codePoint: number): readonly number[] {
  return lowercases.get(codePoint)!;
}
