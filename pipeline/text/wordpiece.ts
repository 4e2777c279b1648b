import { TacoError } from '../errors.ts';
import type { SpecialTokenIds, TokenChunk } from '../types.ts';
import { AddedTokenMatcher, isPlain } from './added-tokens.ts';
import { CharacterTable } from './character-table.ts';
import { LongWordCache, NOT_CACHED } from './long-word-cache.ts';
import { normalize } from './normalize.ts';
import { PieceTrie } from './piece-trie.ts';
import { segmentsOf } from './segments.ts';
import { decodeUtf8 } from './utf8.ts';
import type { TokenizerSpec } from './vocabulary.ts';
import { WordEncoder } from './word-encoder.ts';
import { WordScanner } from './word-scanner.ts';
import { decodeTokens } from './wordpiece-decoder.ts';

/** Ids of documents, without where they come from. */
export type TokenizedDocuments = Pick<TokenChunk, 'ids' | 'ends' | 'numTokens' | 'numUnknown'>;

export interface EncodeDocumentsOptions {
  /** [CLS] in front of the ids of each document that has some, and [SEP] behind them. Default false. */
  readonly addSpecialTokens?: boolean;
  /** Gives memory for ids and ends, whatever is in it. */
  readonly memoryFor?: (numBytes: number) => ArrayBufferLike;
}

export interface DecodeOptions {
  /** Leave out [CLS], [SEP], [PAD], … Default false. */
  readonly skipSpecialTokens?: boolean;
}

/**
 * BERT's tokenizer. Ids are those of Hugging Face's `BertTokenizerFast` with `add_special_tokens=False`, for every
 * text. Keeps buffers and a word cache, so one tokenizer is for one thread and is worth keeping.
 */
export interface Tokenizer {
  readonly spec: TokenizerSpec;
  /** Number of ids: token ids lie in [0, vocabSize). */
  readonly vocabSize: number;
  readonly specialTokenIds: SpecialTokenIds;
  /**
   * Ids of a text, without [CLS] and [SEP].
   * @param text bytes are read as UTF-8, malformed ones as U+FFFD
   */
  encode(text: string | Uint8Array): Int32Array<ArrayBuffer>;
  /**
   * Ids of documents.
   * @param text their bytes, one after another
   * @param ends [num documents] exclusive end of each in `text`
   * @throws TacoError `corrupt` for a document of more than 24 Mi tokens, which is none
   */
  encodeDocuments(text: Uint8Array, ends: Uint32Array, options?: EncodeDocumentsOptions): TokenizedDocuments;
  /**
   * Text of ids, as Hugging Face's `decode` writes it: pieces joined, spaces before punctuation removed.
   * @throws RangeError for an id outside the vocabulary
   */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
}

/** Sizes of a tokenizer's memory of words, powers of two. */
export interface WordCacheOptions {
  /** Entries for short words. Default 131,072 (4 MiB). */
  readonly shortEntries?: number;
  /** Entries for long words. Default 16,384 (0.8 MiB). */
  readonly longEntries?: number;
}

export function createTokenizer(spec: TokenizerSpec, options: WordCacheOptions = {}): Tokenizer {
  return new WordPieceTokenizer(spec, options);
}

const ASCII_END = 0x80;

/**
 * A document of more tokens is refused, so that memory stays bounded: 64 MiB of English are 16 M, of Chinese 22 M. What
 * has more is punctuation or encoded data.
 */
const MAX_DOCUMENT_TOKENS = 24 * 1024 * 1024;

/** A text above this is loaded piece by piece. */
const MAX_LOAD_BYTES = 4 * 1024 * 1024;

function tooManyTokens(document: Uint8Array): TacoError {
  const beginning = JSON.stringify(new TextDecoder().decode(document.subarray(0, 60)));
  return new TacoError(
    `a document has over ${MAX_DOCUMENT_TOKENS} tokens (it begins with ${beginning}), expected text; split it or leave it out`,
    { code: 'corrupt', stage: 'tokenizer' },
  );
}

/** [CLS] and [SEP]. */
const NUM_FRAME_IDS = 2;

function timesIn(ids: Uint16Array | Int32Array, wanted: number): number {
  let times = 0;
  for (let at = 0; at < ids.length; at += 1) if (ids[at] === wanted) times += 1;
  return times;
}

class WordPieceTokenizer implements Tokenizer {
  readonly spec: TokenizerSpec;
  readonly vocabSize: number;
  readonly specialTokenIds: SpecialTokenIds;

  readonly #scanner: WordScanner;
  readonly #longWords: LongWordCache;
  readonly #wordEncoder: WordEncoder;
  readonly #textEncoder = new TextEncoder();
  /** [256] 1 for the bytes that no word contains. */
  readonly #isSeparator = new Uint8Array(256);
  /** [256] 1 for the bytes behind which a text can be cut; undefined when an added token could reach across. */
  readonly #isBlank: Uint8Array | undefined;
  /** Finds added tokens in bytes; undefined when some need more than bytes. */
  readonly #byteMatcher: AddedTokenMatcher | undefined;
  readonly #rawMatcher: AddedTokenMatcher;
  readonly #normalizedMatcher: AddedTokenMatcher;

  #length = 0;
  #ends = new Uint32Array(1024);
  /** Whether documents come within special tokens. */
  #isFramed = false;
  /** How many did so far. */
  #numFramed = 0;
  /** First place at or behind the last search where an added token may begin. */
  #candidate = 0;

  constructor(spec: TokenizerSpec, { shortEntries = 131_072, longEntries = 16_384 }: WordCacheOptions) {
    this.spec = spec;
    this.vocabSize = spec.vocabulary.length;
    this.specialTokenIds = spec.specialTokenIds;
    const pieces = spec.vocabulary.slice(0, spec.numWordPieces);
    const maxChars = spec.maxInputCharsPerWord;
    const trie = new PieceTrie(pieces, spec.continuingPrefix, spec.specialTokenIds.unk, maxChars);
    const characters = new CharacterTable(spec, trie);
    this.#wordEncoder = new WordEncoder(spec, characters, trie, maxChars);
    this.#longWords = new LongWordCache(longEntries);
    const separators = new Map<number, number>();
    for (let byte = 0; byte < ASCII_END; byte += 1) {
      const id = characters.separatorId(byte);
      if (id === undefined) continue;
      separators.set(byte, id);
      this.#isSeparator[byte] = 1;
    }
    this.#scanner = new WordScanner({ numEntries: shortEntries, foldsCase: spec.lowercase, separators });

    const encodeBytes = (content: string): Uint8Array => this.#textEncoder.encode(content);
    const codePoints = (content: string): Uint32Array =>
      Uint32Array.from(Array.from(content, (char) => char.codePointAt(0)!));
    const raw = spec.specialTokens.filter((token) => !token.normalized);
    const normalized = spec.specialTokens.filter((token) => token.normalized);
    this.#byteMatcher = spec.specialTokens.every(isPlain)
      ? new AddedTokenMatcher(raw, encodeBytes)
      : undefined;
    const isBlank = Uint8Array.from({ length: 256 }, (_, byte) => (separators.get(byte) === -1 ? 1 : 0));
    const canCut =
      this.#byteMatcher !== undefined &&
      raw.every(({ content }) => encodeBytes(content).every((byte) => isBlank[byte] === 0));
    this.#isBlank = canCut ? isBlank : undefined;
    this.#rawMatcher = new AddedTokenMatcher(raw, codePoints);
    this.#normalizedMatcher = new AddedTokenMatcher(normalized, (content) =>
      Uint32Array.from(normalize(spec, codePoints(content))),
    );
  }

  encode(text: string | Uint8Array): Int32Array<ArrayBuffer> {
    this.#load(text);
    const count = this.#encodeDocument(0, this.#length, 0);
    return Int32Array.from(this.#scanner.ids.subarray(0, count));
  }

  encodeDocuments(
    text: Uint8Array,
    textEnds: Uint32Array,
    {
      addSpecialTokens = false,
      memoryFor = (numBytes) => new ArrayBuffer(numBytes),
    }: EncodeDocumentsOptions = {},
  ): TokenizedDocuments {
    this.#isFramed = addSpecialTokens;
    this.#numFramed = 0;
    const numDocuments = textEnds.length;
    if (this.#ends.length < numDocuments) this.#ends = new Uint32Array(2 * numDocuments);
    const isLong = text.length > MAX_LOAD_BYTES && this.#isBlank !== undefined;
    const parts = isLong
      ? this.#encodeBySegments(text, textEnds, this.#isBlank)
      : [this.#encodeAtOnce(text, textEnds)];
    const count = parts.reduce((sum, part) => sum + part.length, 0);
    // One piece of memory for both; ids in front, where they lie to words as those of the scanner do.
    const memory = memoryFor(4 * (count + numDocuments));
    const ids = new Int32Array(memory, 0, count);
    const ends = new Uint32Array(memory, ids.byteLength, numDocuments);
    ends.set(this.#ends.subarray(0, numDocuments));
    let numUnknown = 0;
    let at = 0;
    for (const part of parts) {
      ids.set(part, at);
      numUnknown += timesIn(part, this.specialTokenIds.unk);
      at += part.length;
    }
    return { ids, ends, numTokens: count - NUM_FRAME_IDS * this.#numFramed, numUnknown };
  }

  /** @returns a view of the ids; `#ends` says whose they are */
  #encodeAtOnce(text: Uint8Array, textEnds: Uint32Array): Int32Array {
    this.#load(text, this.#isFramed ? NUM_FRAME_IDS * textEnds.length : 0);
    return this.#scanner.ids.subarray(0, this.#encodeLoaded(textEnds));
  }

  /** V8 compiles a loop while it runs, and gives up what it does not know yet: nothing comes behind this one. */
  #encodeLoaded(textEnds: Uint32Array): number {
    let start = 0;
    let count = 0;
    for (let index = 0; index < textEnds.length; index += 1) {
      const end = textEnds[index]!;
      count = this.#encodeFramed(start, end, count);
      this.#ends[index] = count;
      start = end;
    }
    return count;
  }

  /** Ids of one document at `count`, within special tokens where these are asked for. @returns the end of all */
  #encodeFramed(start: number, end: number, count: number): number {
    const first = this.#isFramed ? count + 1 : count;
    const last = this.#encodeDocument(start, end, first);
    return last === first ? count : this.#closeFrame(count, last);
  }

  #closeFrame(first: number, last: number): number {
    if (!this.#isFramed) return last;
    const { ids } = this.#scanner;
    const { cls, sep } = this.specialTokenIds;
    ids[first] = cls;
    ids[last] = sep;
    this.#numFramed += 1;
    return last + 1;
  }

  /** The same with little memory: the scanner has room for as many ids as it holds bytes. @returns all ids in order */
  #encodeBySegments(
    text: Uint8Array,
    textEnds: Uint32Array,
    isBlank: Uint8Array,
  ): (Uint16Array | Int32Array)[] {
    // Ids twice as small while they wait for the last of them.
    const PartArray = this.vocabSize <= 0x1_0000 ? Uint16Array : Int32Array;
    const parts: (Uint16Array | Int32Array)[] = [];
    const { cls, sep } = this.specialTokenIds;
    let start = 0;
    let count = 0;
    for (let index = 0; index < textEnds.length; index += 1) {
      const document: typeof parts = [];
      let numIds = 0;
      for (const segment of segmentsOf(text.subarray(start, textEnds[index]), isBlank, MAX_LOAD_BYTES)) {
        this.#load(segment);
        const length = this.#encodeDocument(0, this.#length, 0);
        document.push(new PartArray(this.#scanner.ids.subarray(0, length)));
        numIds += length;
        if (numIds > MAX_DOCUMENT_TOKENS) throw tooManyTokens(text.subarray(start));
      }
      if (this.#isFramed && numIds > 0) {
        document.unshift(PartArray.of(cls));
        document.push(PartArray.of(sep));
        numIds += NUM_FRAME_IDS;
        this.#numFramed += 1;
      }
      parts.push(...document);
      count += numIds;
      this.#ends[index] = count;
      start = textEnds[index]!;
    }
    return parts;
  }

  decode(ids: ArrayLike<number>, { skipSpecialTokens = false }: DecodeOptions = {}): string {
    return decodeTokens(this.spec, ids, skipSpecialTokens);
  }

  /** @param numFrameIds ids that come to those of the text */
  #load(text: string | Uint8Array, numFrameIds = 0): void {
    // A UTF-16 code unit takes three bytes of UTF-8 at most.
    this.#scanner.reserve((typeof text === 'string' ? 3 * text.length : text.length) + numFrameIds);
    if (typeof text === 'string') {
      this.#length = this.#textEncoder.encodeInto(text, this.#scanner.text).written;
    } else {
      this.#scanner.text.set(text);
      this.#length = text.length;
    }
    this.#candidate = -1;
  }

  #encodeDocument(start: number, end: number, count: number): number {
    if (this.#byteMatcher === undefined) return this.#encodeByCodePoints(start, end, count);
    const { text, ids } = this.#scanner;
    let numIds = count;
    let done = start;
    let at = start;
    for (;;) {
      if (this.#candidate < at) this.#candidate = this.#byteMatcher.nextCandidate(text, at, this.#length);
      if (this.#candidate >= end) return this.#encodePiece(done, end, numIds);
      const match = this.#byteMatcher.longestAt(text, this.#candidate, end);
      at = this.#candidate + (match?.units.length ?? 1);
      if (match !== undefined) {
        numIds = this.#encodePiece(done, this.#candidate, numIds);
        ids[numIds] = match.token.id;
        numIds += 1;
        done = at;
      }
    }
  }

  /** The fast path: text without added tokens. */
  #encodePiece(start: number, end: number, count: number): number {
    const scanner = this.#scanner;
    const isSeparator = this.#isSeparator;
    const { text } = scanner;
    let at = scanner.scan(start, end, count);
    while (at < end) {
      const wordStart = at;
      do at += 1;
      while (at < end && isSeparator[text[at]!] === 0);
      at = scanner.scan(at, end, this.#encodeWord(wordStart, at, scanner.count));
    }
    return scanner.count;
  }

  /** Bytes without ASCII white space and punctuation that the scanner does not know. */
  #encodeWord(start: number, end: number, count: number): number {
    const { text, view, ids } = this.#scanner;
    const length = end - start;
    const cached = this.#longWords.lookup(view, start, length, ids, count);
    if (cached !== NOT_CACHED) return cached;
    const numIds = this.#wordEncoder.encode(text, start, end, ids, count);
    if (!this.#scanner.remember(start, length, count, numIds)) {
      this.#longWords.insert(view, start, length, ids, count, numIds);
    }
    return numIds;
  }

  /** The way of Hugging Face's library, step by step, for added tokens that need to see the text around them. */
  #encodeByCodePoints(start: number, end: number, count: number): number {
    const { text: bytes, ids } = this.#scanner;
    const text = decodeUtf8(bytes, start, end);
    let numIds = count;
    for (const outer of this.#rawMatcher.split(text)) {
      if (outer.id !== undefined) {
        ids[numIds] = outer.id;
        numIds += 1;
        continue;
      }
      const piece = Uint32Array.from(normalize(this.spec, text.subarray(outer.start, outer.end)));
      for (const inner of this.#normalizedMatcher.split(piece)) {
        if (inner.id !== undefined) {
          ids[numIds] = inner.id;
          numIds += 1;
          continue;
        }
        numIds = this.#wordEncoder.encodeNormalized(piece.subarray(inner.start, inner.end), ids, numIds);
      }
    }
    return numIds;
  }
}
