import { open } from 'node:fs/promises';
import { messageOf, systemCodeOf, TacoError } from '../errors.ts';

/** A file of known size whose parts can be read in any order: on disk, or on the Hub by byte ranges. */
export interface ByteFile {
  /** For messages: the path, or repository and path. */
  readonly name: string;
  readonly sizeBytes: number;
  /** The most bytes to ask for at a time, where latency is no reason for more. */
  readonly maxRangeBytes?: number | undefined;
  /** Bytes [start, end); always as many as asked for. */
  read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/** Holds most row groups of text, while a few of them in memory stay below what makes the collector run. */
const MAX_RANGE_BYTES = 4 * 1024 * 1024;

/**
 * Opens a file on disk.
 * @throws TacoError `not-found` or `disk`
 */
export async function openLocalFile(path: string): Promise<ByteFile> {
  const handle = await open(path).catch((error: unknown) => {
    throw localError(path, error);
  });
  const { size } = await handle.stat();
  return {
    name: path,
    sizeBytes: size,
    maxRangeBytes: MAX_RANGE_BYTES,
    async read(start, end) {
      const bytes = new Uint8Array(end - start);
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
