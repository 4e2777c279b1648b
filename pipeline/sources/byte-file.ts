import { open } from 'node:fs/promises';
import { messageOf, systemCodeOf, TacoError } from '../errors.ts';
import type { SpareMemory } from '../spare-memory.ts';

/** A file of known size whose parts can be read in any order: on disk, or on the Hub by byte ranges. */
export interface ByteFile {
  /** For messages: the path, or repository and path. */
  readonly name: string;
  readonly sizeBytes: number;
  /** The most bytes to ask for at a time, of a near file, where another request costs next to nothing. */
  readonly maxRangeBytes?: number | undefined;
  /** Bytes [start, end); always as many as asked for. */
  read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Takes back the memory of bytes that were read, when nobody looks at them any more: a later read may lie there. */
  recycle?(bytes: Uint8Array<ArrayBuffer>): void;
  close(): Promise<void>;
}

/** Holds most row groups of text, while a few of them are no great part of the memory. */
const MAX_RANGE_BYTES = 4 * 1024 * 1024;

/**
 * Opens a file on disk.
 * @param memory where bytes are read to, and what `recycle` gives it to; without it each read makes its own
 * @throws TacoError `not-found` or `disk`
 */
export async function openLocalFile(path: string, memory?: SpareMemory<ArrayBuffer>): Promise<ByteFile> {
  const handle = await open(path).catch((error: unknown) => {
    throw localError(path, error);
  });
  const { size } = await handle.stat();
  return {
    name: path,
    sizeBytes: size,
    maxRangeBytes: MAX_RANGE_BYTES,
    async read(start, end) {
      const length = end - start;
      const bytes =
        memory === undefined ? new Uint8Array(length) : new Uint8Array(memory.takeBytes(length), 0, length);
      let filled = 0;
      while (filled < bytes.length) {
        const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, start + filled);
        if (bytesRead === 0) {
          throw new TacoError(
            `${path} ended at byte ${start + filled}, expected ${end}; it was changed while being read`,
            { code: 'corrupt', stage: 'source', path },
          );
        }
        filled += bytesRead;
      }
      return bytes;
    },
    recycle: ({ buffer }) => memory?.give(buffer),
    close: () => handle.close(),
  };
}

/** The error of a failed local read, in the user's words. */
export function localError(path: string, error: unknown): TacoError {
  const missing = systemCodeOf(error) === 'ENOENT';
  return new TacoError(
    missing ? `${path} does not exist; check the path` : `cannot read ${path}: ${messageOf(error)}`,
    { code: missing ? 'not-found' : 'disk', stage: 'source', path, cause: error },
  );
}
