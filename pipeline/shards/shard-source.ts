import { open } from 'node:fs/promises';
import { messageOf, systemCodeOf, TacoError } from '../errors.ts';

/** Where the bytes of one shard are. Nothing stays open between two reads. */
export interface ShardSource {
  /** What to do when the shard is damaged or missing: ends the message. */
  readonly remedy: string;
  /** Bytes come over a network, which may damage them on the way. */
  readonly isRemote: boolean;
  /**
   * Bytes [start, end), as many as asked for.
   * @throws TacoError `not-found`, `disk`, `network`, `corrupt` when the file ends before
   */
  read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
}

export const LOCAL_REMEDY = 'run prepare-data for this folder again: it makes such shards anew';

/** A shard on disk. Open only while it is read, so that a dataset of any number of shards needs no handles. */
export function localShard(path: string): ShardSource {
  return { remedy: LOCAL_REMEDY, isRemote: false, read: (start, end) => readRange(path, start, end) };
}

async function readRange(path: string, start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(end - start);
  try {
    const handle = await open(path, 'r');
    try {
      for (let filled = 0; filled < bytes.length; ) {
        const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, start + filled);
        if (bytesRead === 0) {
          const what = `at byte ${start + filled}: the file ends there, expected ${end} bytes`;
          throw new DamagedShard(path, what, LOCAL_REMEDY);
        }
        filled += bytesRead;
      }
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw readError(path, error);
  }
  return bytes;
}

/** A shard that is not what the manifest says. */
export class DamagedShard extends TacoError {
  /** What is wrong, with the place, without file and advice. */
  readonly damage: string;

  constructor(path: string, damage: string, remedy: string, cause?: unknown) {
    super(`${path} is damaged ${damage}; ${remedy}`, { code: 'corrupt', stage: 'shards', path, cause });
    this.damage = damage;
  }
}

/** A shard that is not there. */
export function missingShard(path: string, remedy: string, cause?: unknown): TacoError {
  return new TacoError(`${path} is missing, the manifest lists it; ${remedy}`, {
    code: 'not-found',
    stage: 'shards',
    path,
    cause,
  });
}

/** What the file system said about a shard. */
export function readError(path: string, error: unknown): TacoError {
  if (error instanceof TacoError) return error;
  if (systemCodeOf(error) === 'ENOENT') return missingShard(path, LOCAL_REMEDY, error);
  return new TacoError(`cannot read ${path}: ${messageOf(error)}`, {
    code: 'disk',
    stage: 'shards',
    path,
    cause: error,
  });
}
