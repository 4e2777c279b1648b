import { encodeListPages, type ListPages, type ListRows } from '../shards/page.ts';
import { FileHasher, type FileToHash } from '../sources/file-hash.ts';
import { PageDecoder } from '../sources/parquet-decode.ts';
import type { StageTimes } from '../stage-times.ts';
import type { TokenizerSpec } from '../text/vocabulary.ts';
import type { DocumentChunk, EncodedDocuments, TokenChunk } from '../types.ts';
import { type DocumentSettings, PartEncoder } from './part-encoder.ts';

/** Work for a thread. The buffers of a job are moved to the thread, unless they are shared memory. */
export type Job = TokenizeJob | EncodeJob | HashJob;

export interface TokenizeJob {
  readonly kind: 'tokenize';
  readonly documents: DocumentChunk['documents'];
  /** Memory for the tokens of each part, used where it is large enough. */
  readonly spares: readonly SharedArrayBuffer[];
}

/** The pages of row groups: see `encodeListPages`. */
export interface EncodeJob {
  readonly kind: 'encode';
  readonly groups: readonly ListRows[];
  /** Memory for the pages, used if it is large enough. */
  readonly spare: ArrayBuffer | undefined;
}

/** The content of a file: see `FileHasher`. */
export interface HashJob {
  readonly kind: 'hash';
  readonly file: FileToHash;
}

/** The text of documents, or their pages. */
export function bytesOf(documents: DocumentChunk['documents']): Uint8Array {
  return documents.kind === 'text' ? documents.text : documents.bytes;
}

/** Those of buffers that are moved to another thread, each once; the others both threads see. */
export function movable(...buffers: readonly (ArrayBufferLike | undefined)[]): ArrayBuffer[] {
  return [...new Set(buffers.filter((buffer) => buffer instanceof ArrayBuffer))];
}

/** That of ids to be encoded, which whoever asked for it gets back. */
export function memoryOf(job: Job): ArrayBuffer[] {
  return job.kind === 'encode' ? movable(...job.groups.map(({ ids }) => ids.buffer)) : [];
}

/** What is known of a chunk's tokens without knowing where the chunk comes from. */
export type TokenPart = Omit<TokenChunk, 'source' | 'at' | 'next' | 'inputBytes'>;

/** What a job gives, in order: parts of a chunk the last of which says so, pages, or a digest. */
export type JobResult = TokenPart | ListPages | string;

/** Does jobs, one after another, in the thread that calls it. */
export interface JobRunner {
  /**
   * @param emit takes each result; its buffers are not touched again
   * @returns milliseconds of each stage
   * @throws TacoError `corrupt` for pages that cannot be decoded or a document that is none; `not-found` or `disk` of
   *   a file to be hashed
   */
  run(job: Job, emit: (result: JobResult) => void): Partial<StageTimes>;
}

export function createJobRunner(spec: TokenizerSpec, settings: DocumentSettings): JobRunner {
  const encoder = new PartEncoder(spec, settings);
  const decoder = new PageDecoder();
  const texts = new TextJoiner();
  const hasher = new FileHasher();

  const tokenize = (
    { documents, spares }: TokenizeJob,
    emit: (part: TokenPart) => void,
  ): Partial<StageTimes> => {
    const startedAt = performance.now();
    const decompressedBefore = decoder.decompressMs;
    let tokenizeMs = 0;
    let firstDocument = 0;
    let part = 0;
    const encode = ({ text, ends }: Omit<TextPart, 'isLast'>, isLast: boolean): void => {
      const begunAt = performance.now();
      emit({ ...encoder.encode(text, ends, spares[part]), firstDocument, isLast });
      part += 1;
      firstDocument += ends.length;
      tokenizeMs += performance.now() - begunAt;
    };
    if (documents.kind === 'text') encode(documents, true);
    else for (const { isLast, ...joined } of textsOf(documents, decoder, texts)) encode(joined, isLast);
    const decompress = decoder.decompressMs - decompressedBefore;
    const decode = performance.now() - startedAt - decompress - tokenizeMs;
    return { decompress, decode, tokenize: tokenizeMs };
  };

  return {
    run(job, emit) {
      const startedAt = performance.now();
      switch (job.kind) {
        case 'tokenize':
          return tokenize(job, emit);
        case 'encode':
          emit(encodeListPages(job.groups, job.spare));
          return { encode: performance.now() - startedAt };
        case 'hash':
          emit(hasher.hash(job.file));
          return {};
      }
    },
  };
}

/** A thread tokenizes about this much text at a time; a larger document by itself. */
export const MAX_PART_BYTES = 2 * 1024 * 1024;

interface TextPart {
  readonly text: Uint8Array;
  readonly ends: Uint32Array;
  readonly isLast: boolean;
}

/**
 * Documents of encoded pages, the empty ones left out: in one part as a rule, in several where a page holds more
 * than a thread should hold as text and tokens at once. The last one may be empty.
 */
function* textsOf(documents: EncodedDocuments, decoder: PageDecoder, texts: TextJoiner): Generator<TextPart> {
  // What a damaged page left behind.
  texts.take();
  for (const values of decoder.decode(documents)) {
    for (const value of values) {
      if (value === null || value === undefined || value.length === 0) continue;
      if (!texts.fits(value)) yield { ...texts.take(), isLast: false };
      // A document above the bound has a part of its own.
      if (value.length > MAX_PART_BYTES)
        yield { text: value, ends: Uint32Array.of(value.length), isLast: false };
      else texts.add(value);
    }
  }
  yield { ...texts.take(), isLast: true };
}

/** Below this a loop is faster than a call. */
const SHORT_COPY_BYTES = 64;

/** Puts documents one after another into a buffer that it keeps: fresh memory for every part costs more than the copy. */
class TextJoiner {
  readonly #text = new Uint8Array(MAX_PART_BYTES);
  #ends = new Uint32Array(1024);
  #numBytes = 0;
  #numDocuments = 0;

  /** Whether a document has room, or would have none anyway. */
  fits({ length }: Uint8Array): boolean {
    return this.#numDocuments === 0 || this.#numBytes + length <= MAX_PART_BYTES;
  }

  add(document: Uint8Array): void {
    const text = this.#text;
    const start = this.#numBytes;
    if (document.length > SHORT_COPY_BYTES) text.set(document, start);
    else for (let at = 0; at < document.length; at += 1) text[start + at] = document[at]!;
    this.#numBytes = start + document.length;
    if (this.#numDocuments === this.#ends.length) {
      const larger = new Uint32Array(2 * this.#ends.length);
      larger.set(this.#ends);
      this.#ends = larger;
    }
    this.#ends[this.#numDocuments] = this.#numBytes;
    this.#numDocuments += 1;
  }

  /** Begins anew. @returns views of what there is, valid until the next `add` */
  take(): { text: Uint8Array; ends: Uint32Array } {
    const text = this.#text.subarray(0, this.#numBytes);
    const ends = this.#ends.subarray(0, this.#numDocuments);
    this.#numBytes = 0;
    this.#numDocuments = 0;
    return { text, ends };
  }
}
