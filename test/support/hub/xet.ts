import { createHash } from 'node:crypto';
import type { Content } from './answer.ts';
import type { StoredFile } from './repositories.ts';

/** Uncompressed chunks of this size, many to a xorb, stand for Xet's content-defined ones. */
const CHUNK_BYTES = 64 * 1024;
const CHUNKS_PER_XORB = 16;
const HEADER_BYTES = 8;

/** The Xet store of all large files. */
export class XetStore {
  readonly #files = new Map<string, StoredFile>();
  readonly #xorbs = new Map<string, { file: StoredFile; index: number }>();
  readonly #uploaded = new Map<string, Buffer>();

  /** Keeps a xorb that a client sent. */
  keepXorb(hash: string, bytes: Buffer): void {
    this.#uploaded.set(hash, bytes);
  }

  uploadedXorb(hash: string): Buffer | undefined {
    return this.#uploaded.get(hash);
  }

  /** Hash of a large file, which from then on can be rebuilt. */
  async add(file: StoredFile): Promise<string> {
    const hash = createHash('sha256')
      .update(`xet ${await file.digest()}`)
      .digest('hex');
    this.#files.set(hash, file);
    return hash;
  }

  file(hash: string): StoredFile | undefined {
    return this.#files.get(hash);
  }

  /** Bytes of a xorb: each chunk behind its 8-byte header, scheme 0 (not compressed). */
  xorb(hash: string): Content | undefined {
    const found = this.#xorbs.get(hash);
    if (found === undefined) return undefined;
    const { file, index } = found;
    const first = index * CHUNKS_PER_XORB;
    const count = Math.min(CHUNKS_PER_XORB, numChunks(file) - first);
    const size = offsetIn(file, first, count);
    return {
      size,
      async read(start, end) {
        const blocks: Uint8Array[] = [];
        for (let chunk = first; chunk < first + count; chunk++) {
          const bytes = await file.read(chunk * CHUNK_BYTES, Math.min((chunk + 1) * CHUNK_BYTES, file.size));
          blocks.push(chunkHeader(bytes.length), bytes);
        }
        return Buffer.concat(blocks).subarray(start, end);
      },
    };
  }

  /** Answer of `/v2/reconstructions/{hash}` for bytes [start, end). */
  reconstruction(
    hash: string,
    start: number,
    end: number,
    urlOf: (xorbHash: string) => string,
  ): object | undefined {
    const file = this.#files.get(hash);
    if (file === undefined) return undefined;
    const firstChunk = Math.floor(start / CHUNK_BYTES);
    const endChunk = Math.ceil(end / CHUNK_BYTES);
    const terms: object[] = [];
    const xorbs: Record<string, object[]> = {};
    for (let chunk = firstChunk; chunk < endChunk; ) {
      const index = Math.floor(chunk / CHUNKS_PER_XORB);
      const base = index * CHUNKS_PER_XORB;
      const stop = Math.min(endChunk, base + CHUNKS_PER_XORB);
      const xorbHash = createHash('sha256').update(`${hash} ${index}`).digest('hex');
      this.#xorbs.set(xorbHash, { file, index });
      const chunks = { start: chunk - base, end: stop - base };
      terms.push({
        hash: xorbHash,
        unpacked_length: Math.min(stop * CHUNK_BYTES, file.size) - chunk * CHUNK_BYTES,
        range: chunks,
      });
      const bytes = {
        start: offsetIn(file, base, chunks.start),
        end: offsetIn(file, base, chunks.end) - 1,
      };
      xorbs[xorbHash] = [{ url: urlOf(xorbHash), ranges: [{ chunks, bytes }] }];
      chunk = stop;
    }
    return { offset_into_first_range: start - firstChunk * CHUNK_BYTES, terms, xorbs };
  }
}

function numChunks(file: StoredFile): number {
  return Math.ceil(file.size / CHUNK_BYTES);
}

/** Bytes of the first `count` chunks of a xorb that begins with chunk `first` of the file. */
function offsetIn(file: StoredFile, first: number, count: number): number {
  const start = first * CHUNK_BYTES;
  const content = Math.min(start + count * CHUNK_BYTES, file.size) - start;
  return content + count * HEADER_BYTES;
}

function chunkHeader(length: number): Uint8Array {
  const low = [length & 0xff, (length >> 8) & 0xff, (length >> 16) & 0xff];
  return Uint8Array.from([0, ...low, 0, ...low]);
}
