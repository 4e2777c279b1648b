import { pipeline, Readable, type Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip } from 'node:zlib';
import type { CompressionCodec } from 'hyparquet';
import { SnappyStream } from './snappy-stream.ts';
import { ZstdStream } from './zstd-stream.ts';

const BLOCK_BYTES = 256 * 1024;
/** Of a page's output, that a decoder makes at a time. */
const MAX_HELD_BYTES = 1024 * 1024;

const transforms: Partial<Record<CompressionCodec, () => Transform>> = {
  GZIP: () => createGunzip({ chunkSize: BLOCK_BYTES }),
  BROTLI: () => createBrotliDecompress({ chunkSize: BLOCK_BYTES }),
  ZSTD: () => new ZstdStream(),
};

/** Whether pages of a codec can be decompressed piece by piece. */
export function canStream(codec: CompressionCodec): boolean {
  return codec === 'UNCOMPRESSED' || codec === 'SNAPPY' || codec in transforms;
}

/** A page's sizes, as its header says. */
export interface StreamedBody {
  readonly codec: CompressionCodec;
  readonly compressedBytes: number;
  readonly uncompressedBytes: number;
}

/**
 * Decompresses a page piece by piece. Yields views, valid until the next is asked for.
 * @throws Error when the pieces are not what the codec writes, or end too early
 */
export async function* decompressed(
  pieces: AsyncIterable<Uint8Array>,
  { codec, compressedBytes, uncompressedBytes }: StreamedBody,
): AsyncGenerator<Uint8Array> {
  const transform = transforms[codec]?.();
  if (transform !== undefined) {
    // A transform holds all that comes out of a piece: of text that repeats itself that is many times as much.
    const share = Math.ceil((MAX_HELD_BYTES * compressedBytes) / Math.max(1, uncompressedBytes));
    const cut = inParts(pieces, Math.min(BLOCK_BYTES, Math.max(1, share)));
    // The consumer hears of errors through the decoder, which pipeline() destroys with them.
    yield* pipeline(Readable.from(cut), transform, () => undefined) as AsyncIterable<Uint8Array>;
    return;
  }
  if (codec !== 'SNAPPY') {
    yield* pieces;
    return;
  }
  const snappy = new SnappyStream();
  for await (const piece of pieces) yield* snappy.push(piece);
  snappy.end();
}

async function* inParts(pieces: AsyncIterable<Uint8Array>, partBytes: number): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    for (let at = 0; at < piece.length; at += partBytes) yield piece.subarray(at, at + partBytes);
  }
}

/** Reads a beginning of known length from blocks of any size, and gives on the rest. */
export class BlockReader {
  readonly #blocks: AsyncIterator<Uint8Array>;
  #block: Uint8Array = new Uint8Array(0);

  constructor(blocks: AsyncIterable<Uint8Array>) {
    this.#blocks = blocks[Symbol.asyncIterator]();
  }

  /** The next bytes. @throws Error when there are fewer */
  async read(numBytes: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(numBytes);
    for (let filled = 0; filled < numBytes; ) {
      if (this.#block.length === 0 && !(await this.#next())) throw new Error('it ends too early');
      const part = this.#block.subarray(0, numBytes - filled);
      bytes.set(part, filled);
      filled += part.length;
      this.#block = this.#block.subarray(part.length);
    }
    return bytes;
  }

  /** What is left, in views that are valid until the next is asked for. */
  async *rest(): AsyncGenerator<Uint8Array> {
    if (this.#block.length > 0) yield this.#block;
    while (await this.#next()) yield this.#block;
  }

  /** Ends the blocks, whatever is left of them. */
  async close(): Promise<void> {
    await this.#blocks.return?.();
  }

  async #next(): Promise<boolean> {
    const next = await this.#blocks.next();
    if (next.done === true) return false;
    this.#block = next.value;
    return true;
  }
}
