import { TacoError } from '../errors.ts';
import { memoryToSend } from '../spare-memory.ts';
import type { SpecialTokenIds, TokenChunk } from '../types.ts';
import { AddedTokenMatcher, isPlain } from './added-tokens.ts';
import { CharacterTable } from './character-table.ts';
import { hashDocument } from './document-hash.ts';
import { LongWordCache, NOT_CACHED } from './long-word-cache.ts';
import { normalize } from './normalize.ts';
import { PieceTrie } from './piece-trie.ts';
import { segmentsOf } from './segments.ts';
import { decodeUtf8 } from './utf8.ts';
import type { TokenizerSpec } from './vocabulary.ts';
import { WordEncoder } from './word-encoder.ts';
import { WordScanner } from './word-scanner.ts';
import { decodeTokens } from './wordpiece-decoder.ts';

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
  /**
   * Ids and hashes of documents.
   * @param text their bytes, one after another
   * @param ends [num documents] exclusive end of each in `text`
   * @param spare memory for ids, ends and hashes, used if it is large enough
   * @throws TacoError `corrupt` for a document of more than 24 Mi tokens, which is none
   */
  encodeDocuments(text: Uint8Array, ends: Uint32Array, spare?: SharedArrayBuffer): TokenizedDocuments;
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

/** The hashes are still to be filled in. */
type EncodedIds = Pick<TokenizedDocuments, 'ids' | 'ends' | 'hashes'>;

/** 32-bit lanes of a document's hash. */
const HASH_LANES = 4;

function tooManyTokens(document: Uint8Array): TacoError {
  const beginning = JSON.stringify(new TextDecoder().decode(document.subarray(0, 60)));
  return new TacoError(
    `a document has over ${MAX_DOCUMENT_TOKENS} tokens (it begins with ${beginning}), expected text; split it or leave it out`,
    { code: 'corrupt', stage: 'tokenizer' },
  );
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

  encodeDocuments(text: Uint8Array, textEnds: Uint32Array, spare?: SharedArrayBuffer): TokenizedDocuments {
    const { ids, ends, hashes } =
      text.length > MAX_LOAD_BYTES && this.#isBlank !== undefined
        ? this.#encodeBySegments(text, textEnds, this.#isBlank)
        : this.#encodeAtOnce(text, textEnds, spare);
    const view = new DataView(text.buffer, text.byteOffset, text.length);
    for (let index = 0; index < textEnds.length; index += 1) {
      hashDocument(
        view,
        index === 0 ? 0 : textEnds[index - 1]!,
        textEnds[index]!,
        hashes,
        HASH_LANES * index,
      );
    }
    let numUnknown = 0;
    for (let at = 0; at < ids.length; at += 1) if (ids[at] === this.specialTokenIds.unk) numUnknown += 1;
    return { ids, ends, hashes, textBytes: text.length, numUnknown };
  }

  #encodeAtOnce(text: Uint8Array, textEnds: Uint32Array, spare: SharedArrayBuffer | undefined): EncodedIds {
    this.#load(text);
    const numDocuments = textEnds.length;
    if (this.#ends.length < numDocuments) this.#ends = new Uint32Array(2 * numDocuments);
    let start = 0;
    let count = 0;
    for (let index = 0; index < numDocuments; index += 1) {
      const end = textEnds[index]!;
      count = this.#encodeDocument(start, end, count);
      this.#ends[index] = count;
      start = end;
    }
    // One piece of memory for all: documents may be single sentences, with more hash than ids.
    const numBytes = 4 * (HASH_LANES * numDocuments + numDocuments + count);
    const memory = memoryToSend(spare, numBytes);
    const hashes = new Uint32Array(memory, 0, HASH_LANES * numDocuments);
    const ends = new Uint32Array(memory, hashes.byteLength, numDocuments);
    const ids = new Int32Array(memory, hashes.byteLength + ends.byteLength, count);
    ends.set(this.#ends.subarray(0, numDocuments));
    ids.set(this.#scanner.ids.subarray(0, count));
    return { ids, ends, hashes };
  }

  /** The same with little memory: the scanner has room for as many ids as it holds bytes. */
  #encodeBySegments(text: Uint8Array, textEnds: Uint32Array, isBlank: Uint8Array): EncodedIds {
    const ends = new Uint32Array(textEnds.length);
    // Ids twice as small while they wait for the last of them.
    const PartArray = this.vocabSize <= 0x1_0000 ? Uint16Array : Int32Array;
    const parts: (Uint16Array | Int32Array)[] = [];
    let start = 0;
    let count = 0;
    for (let index = 0; index < textEnds.length; index += 1) {
      for (const segment of segmentsOf(text.subarray(start, textEnds[index]), isBlank, MAX_LOAD_BYTES)) {
        this.#load(segment);
        const numIds = this.#encodeDocument(0, this.#length, 0);
        parts.push(new PartArray(this.#scanner.ids.subarray(0, numIds)));
        count += numIds;
        if (count - (ends[index - 1] ?? 0) > MAX_DOCUMENT_TOKENS) throw tooManyTokens(text.subarray(start));
      }
      ends[index] = count;
      start = textEnds[index]!;
    }
    const ids = new Int32Array(count);
    let at = 0;
    for (const part of parts) {
      ids.set(part, at);
      at += part.length;
    }
    return { ids, ends, hashes: new Uint32Array(HASH_LANES * textEnds.length) };
  }

  decode(ids: ArrayLike<number>, { skipSpecialTokens = false }: DecodeOptions = {}): string {
    return decodeTokens(this.spec, ids, skipSpecialTokens);
  }

  #load(text: string | Uint8Array): void {
    // A UTF-16 code unit takes three bytes of UTF-8 at most.
    this.#scanner.reserve(typeof text === 'string' ? 3 * text.length : text.length);
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
