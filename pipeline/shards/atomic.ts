import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { messageOf, systemCodeOf, TacoError } from '../errors.ts';

const temporaryPrefix = '.tmp-';

/**
 * The name under which a file is written until it is whole: in the same folder, so that the rename is atomic.
 * The same for every attempt; one writer a folder is the lock's business.
 */
export function temporaryPathOf(path: string): string {
  return join(dirname(path), temporaryPrefix + basename(path));
}

/** What the file system said, as one line for the user. */
export function diskError(action: string, path: string, error: unknown): TacoError {
  if (error instanceof TacoError) return error;
  return new TacoError(`cannot ${action} ${path}: ${explain(error)}`, {
    code: 'disk',
    stage: 'shards',
    path,
    cause: error,
  });
}

function explain(error: unknown): string {
  switch (systemCodeOf(error)) {
    case 'ENOSPC':
      return 'no space left on the device; free some and run the same command again, it continues where it stopped';
    case 'EDQUOT':
      return 'the disk quota is used up; free some space and run the same command again, it continues where it stopped';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied; choose a folder that you may write to';
    case 'EROFS':
      return 'the file system is read-only; choose another folder';
    case 'ENOTDIR':
    case 'EEXIST':
      return 'a file is where a folder should be; choose another folder';
    default:
      return messageOf(error);
  }
}

/** Makes the renames inside a folder survive a power failure. Windows has no such call and needs none. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Makes a folder and its parents. Node's own recursive call never returns where a parent is there but takes no
 * children and says ENOENT, as /proc does.
 * @returns whether it was not there before
 * @throws TacoError `disk`
 */
export async function ensureFolder(folder: string): Promise<boolean> {
  try {
    return await makeFolder(resolve(folder));
  } catch (error) {
    throw diskError('make the folder', folder, error);
  }
}

async function makeFolder(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (error) {
    const isThere = (await stat(path).catch(() => undefined))?.isDirectory() === true;
    if (isThere) return false;
    if (systemCodeOf(error) !== 'ENOENT' || dirname(path) === path) throw error;
  }
  await makeFolder(dirname(path));
  // Another process may have made it meanwhile.
  await mkdir(path).catch((error: unknown) => {
    if (systemCodeOf(error) !== 'EEXIST') throw error;
  });
  return true;
}

/** SHA-256 of a file's content, in hexadecimal; undefined when there is no file. @throws TacoError `disk` */
export async function sha256OfFile(path: string): Promise<string | undefined> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(path), hash);
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw diskError('read', path, error);
  }
  return hash.digest('hex');
}

/** What `AtomicFile.commit` put under the final name. */
export interface CommittedFile {
  readonly bytes: number;
  /** Lower-case hex of the file's content. */
  readonly sha256: string;
}

/**
 * A file that appears under its final name whole or not at all: temporary name in the same folder, fsync,
 * rename, fsync of the folder. The hash is taken on the way.
 */
export class AtomicFile {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #hash = createHash('sha256');
  #bytes = 0;

  private constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  /** Starts the file; leftovers of an earlier attempt are overwritten. @throws TacoError `disk` */
  static async create(path: string): Promise<AtomicFile> {
    try {
      return new AtomicFile(path, await open(temporaryPathOf(path), 'w'));
    } catch (error) {
      throw diskError('write', path, error);
    }
  }

  /** Appends. @throws TacoError `disk` */
  async write(data: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < data.byteLength; ) {
        const { bytesWritten } = await this.#handle.write(data, done, data.byteLength - done);
        done += bytesWritten;
      }
    } catch (error) {
      throw diskError('write', this.#path, error);
    }
    this.#hash.update(data);
    this.#bytes += data.byteLength;
  }

  /** Puts the file under its final name, for good. @throws TacoError `disk` */
  async commit(): Promise<CommittedFile> {
    try {
      await this.#handle.sync();
      await this.#handle.close();
      await rename(temporaryPathOf(this.#path), this.#path);
      await syncFolder(dirname(this.#path));
    } catch (error) {
      throw diskError('write', this.#path, error);
    }
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }

  /** Gives the file up and removes what was written, as far as the file system lets us. */
  async discard(): Promise<void> {
    await this.#handle.close().catch(() => undefined);
    await rm(temporaryPathOf(this.#path), { force: true }).catch(() => undefined);
  }
}

/** Writes a whole file atomically. @throws TacoError `disk` */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<CommittedFile> {
  const file = await AtomicFile.create(path);
  try {
    await file.write(typeof data === 'string' ? Buffer.from(data) : data);
    return await file.commit();
  } catch (error) {
    await file.discard();
    throw error;
  }
}

/** Removes what interrupted writers left in a folder. @returns how many files */
export async function removeTemporaryFiles(folder: string): Promise<number> {
  try {
    const names = (await readdir(folder)).filter((name) => name.startsWith(temporaryPrefix));
    for (const name of names) await rm(join(folder, name), { force: true });
    return names.length;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return 0;
    throw diskError('tidy', folder, error);
  }
}
