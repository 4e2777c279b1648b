import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { localError } from './byte-file.ts';

const BLOCK_BYTES = 512 * 1024;

export interface FileToHash {
  readonly path: string;
  /** For messages: the path as the user wrote it. */
  readonly name: string;
  /** What it is expected to hold, about. */
  readonly sizeBytes: number;
}

/** SHA-256 of a file's content in lower-case hex. Rejects with TacoError `not-found` or `disk`. */
export type HashFile = (file: FileToHash) => Promise<string>;

/** Hashes files in the thread that calls it, in memory that it keeps: a stream would make new one for every 64 KiB. */
export class FileHasher {
  #block: Uint8Array | undefined;

  /** @throws TacoError `not-found` or `disk` */
  hash({ path, name }: Pick<FileToHash, 'path' | 'name'>): string {
    this.#block ??= new Uint8Array(BLOCK_BYTES);
    const block = this.#block;
    const hash = createHash('sha256');
    try {
      const file = openSync(path, 'r');
      try {
        for (;;) {
          const numBytes = readSync(file, block, 0, block.length, null);
          if (numBytes === 0) return hash.digest('hex');
          hash.update(block.subarray(0, numBytes));
        }
      } finally {
        closeSync(file);
      }
    } catch (error) {
      throw localError(name, error);
    }
  }
}
