import type { DocumentChunk, SpecialTokenIds, TokenChunk } from '../types.ts';
import { AddedTokenMatcher, isPlain } from './added-tokens.ts';
import { hashDocument } from './document-hash.ts';
import { Normalizer } from './normalize.ts';
import { PieceTrie } from './piece-trie.ts';
import { flagsOf, PUNCTUATION, WHITE_SPACE } from './unicode.ts';
import { decodeUtf8, Utf8Reader } from './utf8.ts';
import type { TokenizerSpec } from './vocabulary.ts';
import { CACHE_PADDING_BYTES, NOT_CACHED, WordCache, type WordCacheOptions } from './word-cache.ts';
import { decodeTokens } from './wordpiece-decoder.ts';
import { WordSplitter } from './word-splitter.ts';

/** Ids and hashes of documents, without where they come from. */
export type TokenizedDocuments = Pick<TokenChunk, 'ids' | 'ends' | 'hashes' | 'textBytes' | 'numUnknown'>;

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
  /** Ids and hashes of each document of a chunk. */
  encodeChunk(chunk: DocumentChunk): TokenChunk;
  /**
   * The same, of documents by themselves.
   * @param text their bytes, one after another
   * @param ends [num documents] exclusive end of each in `text`
   */
  encodeDocuments(text: Uint8Array, ends: Uint32Array): TokenizedDocuments;
  /**
   * Text of ids, as Hugging Face's `decode` writes it: pieces joined, spaces before punctuation removed.
   * @throws RangeError for an id outside the vocabulary
   */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
}

/** @param options sizes of the word cache */
export function createTokenizer(spec: TokenizerSpec, options: WordCacheOptions = {}): Tokenizer {
  return new WordPieceTokenizer(spec, options);
}

/** What a byte is to the scanner, ordered so that those of a word come first. */
const PLAIN = 0; // stands for itself in a word
const EXACT = 1; // part of a word, but only the normaliser knows which
const SPACE = 2;
const PUNCT = 3;

const ASCII_END = 0x80;

class WordPieceTokenizer implements Tokenizer {
  readonly spec: TokenizerSpec;
  readonly vocabSize: number;
  readonly specialTokenIds: SpecialTokenIds;

  readonly #cache: WordCache;
  readonly #splitter: WordSplitter;
  readonly #normalizer: Normalizer;
  readonly #reader = new Utf8Reader();
  readonly #encoder = new TextEncoder();
  readonly #classOf: Uint8Array;
  /** Id of each ASCII punctuation character. */
  readonly #punctuationIds = new Int32Array(ASCII_END);
  /** Finds added tokens in bytes; undefined when some need more than bytes. */
  readonly #byteMatcher: AddedTokenMatcher | undefined;
  readonly #rawMatcher: AddedTokenMatcher;
  readonly #normalizedMatcher: AddedTokenMatcher;

  /** The text, with room behind it for reads beyond its end. */
  #text = new Uint8Array(CACHE_PADDING_BYTES);
  #view = new DataView(this.#text.buffer);
  #length = 0;
  #out = new Int32Array(CACHE_PADDING_BYTES);
  /** First place at or behind the last search where an added token may begin. */
  #candidate = 0;

  constructor(spec: TokenizerSpec, options: WordCacheOptions) {
    this.spec = spec;
    this.vocabSize = spec.vocabulary.length;
    this.specialTokenIds = spec.specialTokenIds;
    const pieces = spec.vocabulary.slice(0, spec.numWordPieces);
    const maxChars = spec.maxInputCharsPerWord;
    const trie = new PieceTrie(pieces, spec.continuingPrefix, spec.specialTokenIds.unk, maxChars);
    this.#cache = new WordCache(options);
    this.#splitter = new WordSplitter(trie, maxChars);
    this.#normalizer = new Normalizer(spec, this.#splitter);

    this.#classOf = Uint8Array.from({ length: 256 }, (_, byte) => this.#classify(byte));
    for (let byte = 0; byte < ASCII_END; byte += 1) {
      if (this.#classOf[byte] === PUNCT) trie.encodeWord(Uint32Array.of(byte), 1, this.#punctuationIds, byte);
    }

    const encodeBytes = (content: string): Uint8Array => this.#encoder.encode(content);
    const codePoints = (content: string): Uint32Array =>
      Uint32Array.from(Array.from(content, (char) => char.codePointAt(0)!));
    const raw = spec.specialTokens.filter((token) => !token.normalized);
    const normalized = spec.specialTokens.filter((token) => token.normalized);
    this.#byteMatcher = spec.specialTokens.every(isPlain)
      ? new AddedTokenMatcher(raw, encodeBytes)
      : undefined;
    this.#rawMatcher = new AddedTokenMatcher(raw, codePoints);
    this.#normalizedMatcher = new AddedTokenMatcher(normalized, (content) =>
      this.#normalize(codePoints(content)),
    );
  }

  encode(text: string | Uint8Array): Int32Array<ArrayBuffer> {
    this.#load(text);
    return this.#out.slice(0, this.#encodeDocument(0, this.#length, 0));
  }

  encodeChunk(chunk: DocumentChunk): TokenChunk {
    const { source, at, next, inputBytes } = chunk;
    return { ...this.encodeDocuments(chunk.text, chunk.ends), source, at, next, inputBytes };
  }

  encodeDocuments(text: Uint8Array, textEnds: Uint32Array): TokenizedDocuments {
    this.#load(text);
    const ends = new Uint32Array(textEnds.length);
    const hashes = new Uint32Array(4 * textEnds.length);
    let start = 0;
    let count = 0;
    textEnds.forEach((end, index) => {
      hashDocument(this.#view, start, end, hashes, 4 * index);
      count = this.#encodeDocument(start, end, count);
      ends[index] = count;
      start = end;
    });
    const ids = this.#out.slice(0, count);
    let numUnknown = 0;
    for (const id of ids) if (id === this.specialTokenIds.unk) numUnknown += 1;
    return { ids, ends, hashes, textBytes: text.length, numUnknown };
  }

  decode(ids: ArrayLike<number>, { skipSpecialTokens = false }: DecodeOptions = {}): string {
    return decodeTokens(this.spec, ids, skipSpecialTokens);
  }

  #classify(byte: number): number {
    if (byte >= ASCII_END) return EXACT;
    // The normaliser leaves ASCII white space and punctuation as they are, or makes a space of them, whatever
    // surrounds them: words between them can be looked at one by one.
    const normalized = this.#normalize(Uint32Array.of(byte));
    const flags = normalized.length === 1 ? flagsOf(normalized[0]!) : 0;
    if ((flags & WHITE_SPACE) !== 0) return SPACE;
    if ((flags & PUNCTUATION) !== 0) return PUNCT;
    return normalized.length === 1 ? PLAIN : EXACT;
  }

  #normalize(codePoints: Uint32Array): Uint32Array {
    const result: number[] = [];
    const normalizer = new Normalizer(this.spec, { push: (codePoint) => result.push(codePoint) });
    for (const codePoint of codePoints) normalizer.push(codePoint);
    normalizer.end();
    return Uint32Array.from(result);
  }

  #load(text: string | Uint8Array): void {
    // A UTF-16 code unit takes three bytes of UTF-8 at most.
    const capacity = (typeof text === 'string' ? 3 * text.length : text.length) + CACHE_PADDING_BYTES;
    if (this.#text.length < capacity) {
      this.#text = new Uint8Array(Math.max(capacity, Math.min(2 * this.#text.length, 1 << 20)));
      this.#view = new DataView(this.#text.buffer);
      // No text has more ids than bytes; the cache writes up to three at a time.
      this.#out = new Int32Array(this.#text.length);
    }
    if (typeof text === 'string') {
      this.#length = this.#encoder.encodeInto(text, this.#text).written;
    } else {
      this.#text.set(text);
      this.#length = text.length;
    }
    this.#candidate = -1;
  }

  #encodeDocument(start: number, end: number, count: number): number {
    if (this.#byteMatcher === undefined) return this.#encodeByCodePoints(start, end, count);
    let numIds = count;
    let done = start;
    let at = start;
    for (;;) {
      if (this.#candidate < at) this.#candidate = this.#byteMatcher.nextCandidate(this.#text, at);
      if (this.#candidate >= end) return this.#encodePiece(done, end, numIds);
      const match = this.#byteMatcher.longestAt(this.#text, this.#candidate, end);
      at = this.#candidate + (match?.units.length ?? 1);
      if (match !== undefined) {
        numIds = this.#encodePiece(done, this.#candidate, numIds);
        this.#out[numIds] = match.token.id;
        numIds += 1;
        done = at;
      }
    }
  }

  /** The fast path: text without added tokens. */
  #encodePiece(start: number, end: number, count: number): number {
    const text = this.#text;
    const view = this.#view;
    const out = this.#out;
    const classOf = this.#classOf;
    const cache = this.#cache;
    let numIds = count;
    let at = start;
    while (at < end) {
      const byteClass = classOf[text[at]!]!;
      if (byteClass > EXACT) {
        if (byteClass === PUNCT) {
          out[numIds] = this.#punctuationIds[text[at]!]!;
          numIds += 1;
        }
        at += 1;
        continue;
      }
      const wordStart = at;
      do at += 1;
      while (at < end && classOf[text[at]!]! <= EXACT);
      const cached = cache.lookup(view, wordStart, at - wordStart, out, numIds);
      if (cached === NOT_CACHED) {
        const before = numIds;
        numIds = this.#encodeWord(wordStart, at, before);
        cache.insert(view, wordStart, at - wordStart, out, before, numIds);
      } else {
        numIds = cached;
      }
    }
    return numIds;
  }

  /** Bytes without ASCII white space and punctuation; one word, unless other scripts' lie among them. */
  #encodeWord(start: number, end: number, count: number): number {
    const reader = this.#reader;
    this.#splitter.begin(this.#out, count);
    reader.position = start;
    while (reader.position < end) this.#normalizer.push(reader.next(this.#text, end));
    this.#normalizer.end();
    return this.#splitter.end();
  }

  /** The way of Hugging Face's library, step by step, for added tokens that need to see the text around them. */
  #encodeByCodePoints(start: number, end: number, count: number): number {
    const text = decodeUtf8(this.#text, start, end);
    let numIds = count;
    for (const outer of this.#rawMatcher.split(text)) {
      if (outer.id !== undefined) {
        this.#out[numIds] = outer.id;
        numIds += 1;
        continue;
      }
      const piece = this.#normalize(text.subarray(outer.start, outer.end));
      for (const inner of this.#normalizedMatcher.split(piece)) {
        if (inner.id !== undefined) {
          this.#out[numIds] = inner.id;
          numIds += 1;
          continue;
        }
        this.#splitter.begin(this.#out, numIds);
        for (const codePoint of piece.subarray(inner.start, inner.end)) this.#splitter.push(codePoint);
        numIds = this.#splitter.end();
      }
    }
    return numIds;
  }
}
