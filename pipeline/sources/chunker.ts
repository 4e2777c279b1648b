import { sharedMemory, SpareMemory } from '../spare-memory.ts';
import type { SourceCursor } from '../types.ts';
import type { SourceChunk } from './source.ts';

/** A chunk is closed before the document that would take it over either bound. */
export const MAX_CHUNK_BYTES = 512 * 1024;
export const MAX_CHUNK_DOCUMENTS = 8192;
/** A larger document is refused: surely not one (a missing line end, a binary file), and memory stays bounded. */
export const MAX_DOCUMENT_BYTES = 64 * 1024 * 1024;

/** Chunks whose memory comes back; more are rarely under way. */
export const MAX_CHUNKS_UNDER_WAY = 16;

/** Documents of a source in order, as many as happened to be decoded at once. */
export interface DocumentBatch {
  /** Bytes of each document; empty or missing ones are skipped. Views are copied before the next batch is asked for. */
  readonly documents: readonly (Uint8Array | null | undefined)[];
  /** Nobody else reads documents that fill their buffers: these may be kept without a copy. Default false. */
  readonly givesAway?: boolean;
  /** Cursor after the first `count` of `documents`. */
  cursorAfter(count: number): SourceCursor;
  /** Bytes of the source behind that cursor. */
  inputBytesAfter(count: number): number;
}

/**
 * Groups documents into chunks greedily: every document goes into the current chunk unless that would exceed a
 * bound; a document larger than the bound has a chunk of its own. As a chunk begins where the one before ended,
 * reading again from any chunk's `next` finds the same borders. A chunk ends right behind its last document that
 * is not empty, the last chunk at the very end.
 * @param end cursor of the exhausted source and its total bytes
 * @param memory for the text of chunks, taken back by their `reuse`
 */
export async function* chunkDocuments(
  batches: AsyncIterable<DocumentBatch>,
  end: { readonly cursor: SourceCursor; readonly totalBytes: number },
  memory = new SpareMemory(sharedMemory, MAX_CHUNKS_UNDER_WAY),
): AsyncGenerator<SourceChunk> {
  const builder = new ChunkBuilder(memory);
  for await (const batch of batches) {
    for (let index = 0; index < batch.documents.length; index++) {
      const document = batch.documents[index];
      if (document === null || document === undefined || document.length === 0) continue;
      if (!builder.fits(document.length)) yield builder.take();
      builder.add(document, batch, index + 1);
    }
    builder.settle();
  }
  if (!builder.empty) yield { ...builder.take(), next: end.cursor, inputBytes: end.totalBytes };
}

class ChunkBuilder {
  readonly #memory: SpareMemory<SharedArrayBuffer>;
  #text = new Uint8Array(MAX_CHUNK_BYTES);
  #ends = new Uint32Array(MAX_CHUNK_DOCUMENTS);
  #numBytes = 0;
  #numDocuments = 0;
  #batch: DocumentBatch | undefined;
  #count = 0;
  #next: SourceCursor | undefined;
  #inputBytes = 0;

  constructor(memory: SpareMemory<SharedArrayBuffer>) {
    this.#memory = memory;
  }

  get empty(): boolean {
    return this.#numDocuments === 0;
  }

  fits(length: number): boolean {
    return (
      this.empty || (this.#numDocuments < MAX_CHUNK_DOCUMENTS && this.#numBytes + length <= MAX_CHUNK_BYTES)
    );
  }

  add(document: Uint8Array, batch: DocumentBatch, count: number): void {
    if (document.length > MAX_CHUNK_BYTES) {
      const isGiven = batch.givesAway === true && document.length === document.buffer.byteLength;
      this.#text = isGiven ? new Uint8Array(document.buffer as ArrayBuffer) : new Uint8Array(document);
    } else this.#text.set(document, this.#numBytes);
    this.#numBytes += document.length;
    this.#ends[this.#numDocuments] = this.#numBytes;
    this.#numDocuments += 1;
    this.#batch = batch;
    this.#count = count;
  }

  /** Resolves the cursor, so that the batch and the buffers behind it can be freed. */
  settle(): void {
    if (this.#batch === undefined) return;
    this.#next = this.#batch.cursorAfter(this.#count);
    this.#inputBytes = this.#batch.inputBytesAfter(this.#count);
    this.#batch = undefined;
  }

  take(): SourceChunk {
    this.settle();
    const isLarge = this.#text.length > MAX_CHUNK_BYTES;
    const chunk = {
      documents: {
        kind: 'text',
        // A document above the bound is alone.
        text: isLarge ? this.#text : this.#copied(),
        ends: this.#ends.slice(0, this.#numDocuments),
      } as const,
      textBytes: this.#numBytes,
      next: this.#next!,
      inputBytes: this.#inputBytes,
      reuse: (memory: SharedArrayBuffer): void => {
        this.#memory.give(memory);
      },
    };
    if (isLarge) this.#text = new Uint8Array(MAX_CHUNK_BYTES);
    this.#numBytes = 0;
    this.#numDocuments = 0;
    return chunk;
  }

  #copied(): Uint8Array {
    const text = new Uint8Array(this.#memory.takeBytes(this.#numBytes), 0, this.#numBytes);
    text.set(this.#text.subarray(0, this.#numBytes));
    return text;
  }
}
