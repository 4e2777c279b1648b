import {
  combiningRank,
  DECOMPOSES,
  decompositionOf,
  flagsOf,
  IDEOGRAPH,
  LOWERCASES,
  lowercaseOf,
  NONSPACING,
  REMOVED,
  TO_SPACE,
} from './unicode.ts';

/** The settings of Hugging Face's `BertNormalizer`. */
export interface NormalizerSettings {
  readonly cleanText: boolean;
  readonly handleChineseChars: boolean;
  readonly stripAccents: boolean;
  readonly lowercase: boolean;
}

/** Takes code points one after another. */
export interface CodePointSink {
  push(codePoint: number): void;
}

const SPACE = 0x20;

/**
 * BERT's normalisation of a stream of code points: clean, set ideographs off by spaces, decompose and drop
 * accents, lower the case; in this order, each optional. Memory is a run of combining marks at most.
 */
export class Normalizer {
  readonly #settings: NormalizerSettings;
  readonly #sink: CodePointSink;
  /** Marks since the last character that canonical ordering cannot move, in the order they came. */
  #marks: number[] = [];

  constructor(settings: NormalizerSettings, sink: CodePointSink) {
    this.#settings = settings;
    this.#sink = sink;
  }

  push(codePoint: number): void {
    const { cleanText, handleChineseChars } = this.#settings;
    const flags = flagsOf(codePoint);
    if (cleanText && (flags & (REMOVED | TO_SPACE)) !== 0) {
      if ((flags & REMOVED) === 0) this.#strip(SPACE, flagsOf(SPACE));
    } else if (handleChineseChars && (flags & IDEOGRAPH) !== 0) {
      this.#strip(SPACE, flagsOf(SPACE));
      this.#strip(codePoint, flags);
      this.#strip(SPACE, flagsOf(SPACE));
    } else {
      this.#strip(codePoint, flags);
    }
  }

  /** Ends the text. The object can be used for another one. */
  end(): void {
    this.#releaseMarks();
  }

  #strip(codePoint: number, flags: number): void {
    if (!this.#settings.stripAccents) {
      this.#lower(codePoint, flags);
    } else if ((flags & DECOMPOSES) === 0) {
      this.#order(codePoint, flags);
    } else {
      for (const part of decompositionOf(codePoint)) this.#order(part, flagsOf(part));
    }
  }

  #order(codePoint: number, flags: number): void {
    const isDropped = (flags & NONSPACING) !== 0;
    if (combiningRank(codePoint) !== 0) {
      // Dropping marks before the others are sorted leaves these in the same order.
      if (!isDropped) this.#marks.push(codePoint);
      return;
    }
    this.#releaseMarks();
    if (!isDropped) this.#lower(codePoint, flags);
  }

  #releaseMarks(): void {
    if (this.#marks.length === 0) return;
    const marks = this.#marks.sort((a, b) => combiningRank(a) - combiningRank(b));
    this.#marks = [];
    for (const mark of marks) this.#lower(mark, flagsOf(mark));
  }

  #lower(codePoint: number, flags: number): void {
    if (!this.#settings.lowercase || (flags & LOWERCASES) === 0) {
      this.#sink.push(codePoint);
    } else {
      for (const part of lowercaseOf(codePoint)) this.#sink.push(part);
    }
  }
}

/** All of a text, normalised by itself. */
export function normalize(settings: NormalizerSettings, codePoints: Iterable<number>): number[] {
  const result: number[] = [];
  const normalizer = new Normalizer(settings, { push: (codePoint) => result.push(codePoint) });
  for (const codePoint of codePoints) normalizer.push(codePoint);
  normalizer.end();
  return result;
}
