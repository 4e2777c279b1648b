import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ensureFolder, messageOf, syncFolder, systemCodeOf, TacoError } from '../../pipeline/index.ts';

/**
 * A file that grows record by record and is cut back to a checkpoint when a run goes on. One writer a file; the run
 * folder's lock sees to that.
 */
export class AppendFile {
  readonly #handle: FileHandle;
  readonly #path: string;
  /** Records that the disk did not take yet, oldest first. */
  readonly #pending: Uint8Array[] = [];
  #bytes: number;

  private constructor(handle: FileHandle, path: string, bytes: number) {
    this.#handle = handle;
    this.#path = path;
    this.#bytes = bytes;
  }

  /**
   * Opens the file to go on at a checkpoint: records behind it belong to steps that will be made again, and a torn
   * last one to a process that died; both are cut off.
   * @param keepBytes `sync()` at the checkpoint; 0 begins anew
   * @returns the file, and how many bytes that should be there are not
   * @throws TacoError `disk`
   */
  static async open(
    path: string,
    keepBytes: number,
  ): Promise<{ readonly file: AppendFile; readonly missingBytes: number }> {
    try {
      const handle = await openForUpdate(path);
      const { size } = await handle.stat();
      const kept = Math.min(size, keepBytes);
      await handle.truncate(kept);
      return { file: new AppendFile(handle, path, kept), missingBytes: keepBytes - kept };
    } catch (error) {
      throw diskError('open', path, error);
    }
  }

  /** Bytes of the file, without what the disk did not take yet. */
  get size(): number {
    return this.#bytes;
  }

  /**
   * Appends a record. One that the disk refuses is kept in memory, and written with the next that it takes.
   * @throws TacoError `disk`
   */
  async append(record: Uint8Array): Promise<void> {
    this.#pending.push(record);
    await this.#flush();
  }

  /**
   * Forces all records to the disk, so that a checkpoint never knows of some that a power failure took away.
   * @returns length of the file in bytes
   * @throws TacoError `disk`
   */
  async sync(): Promise<number> {
    await this.#flush();
    try {
      await this.#handle.sync();
    } catch (error) {
      throw diskError('write', this.#path, error);
    }
    return this.#bytes;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #flush(): Promise<void> {
    for (;;) {
      const record = this.#pending[0];
      if (record === undefined) return;
      try {
        for (let done = 0; done < record.byteLength; ) {
          const left = record.byteLength - done;
          const { bytesWritten } = await this.#handle.write(record, done, left, this.#bytes + done);
          done += bytesWritten;
        }
      } catch (error) {
        throw diskError('write', this.#path, error);
      }
      this.#bytes += record.byteLength;
      this.#pending.shift();
    }
  }
}

/** For reading and writing without cutting; made, for good, when it is not there. */
async function openForUpdate(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r+');
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
    await ensureFolder(dirname(path));
    const handle = await open(path, 'wx+');
    await syncFolder(dirname(path));
    return handle;
  }
}

function diskError(action: string, path: string, error: unknown): TacoError {
  return new TacoError(`cannot ${action} ${path}: ${messageOf(error)}`, {
    code: 'disk',
    stage: 'metrics',
    path,
    cause: error,
  });
}
