import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, rename, rm, stat, truncate } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import pLimit from 'p-limit';
import { TacoError } from '../errors.ts';
import { diskError, ensureFolder, syncFolder, writeFileAtomic } from '../shards/atomic.ts';
import { type FolderLock, lockFolder } from '../shards/lock.ts';
import { type ByteFile, openLocalFile } from './byte-file.ts';
import type { Hub, HubRepository } from './hub-client.ts';
import { prefetch } from './prefetch.ts';
import type { SourceContext, SourceFile } from './source.ts';

/** Where commands keep whole files of the Hub. */
export const HUB_CACHE = join('cache', 'hub');

/** One request of a download. */
const BLOCK_BYTES = 8 * 1024 * 1024;
const READ_AHEAD = 3;
const LOCK_POLL_MS = 1000;

/** Downloads of this process follow each other: one already fills the line, and the lock is per process. */
const turns = pLimit(1);

/** Where `--cache-downloads` keeps a file; a commit's files never change. */
export function cachedPath(
  folder: string,
  { type, name }: HubRepository,
  commit: string,
  path: string,
): string {
  const root = resolve(folder, `${type}s--${name.replace('/', '--')}`, commit);
  const full = resolve(root, path);
  if (!full.startsWith(root + sep)) {
    throw new TacoError(`the Hub lists ${path} in ${name}, which lies outside of the repository`, {
      code: 'corrupt',
      stage: 'source',
      path,
    });
  }
  return full;
}

/** Whether a file is there, and still what the Hub listed: a disk may have altered it since. */
export async function isCached(path: string, file: SourceFile): Promise<boolean> {
  const damage = await damageOf(path, file).catch(() => 'missing or unreadable');
  return damage === undefined;
}

/**
 * A Hub file that is fetched whole at its first read and kept. A download that was interrupted goes on where it
 * stopped; the file gets its name when its size and hash are those that the Hub listed.
 */
export function openCachedFile(
  hub: Hub,
  repository: HubRepository,
  commit: string,
  file: SourceFile,
  context: SourceContext & { readonly cacheFolder: string },
): ByteFile {
  const path = cachedPath(context.cacheFolder, repository, commit, file.path);
  let local: Promise<ByteFile> | undefined;
  const opened = async (): Promise<ByteFile> => {
    if (!(await isCached(path, file))) {
      await turns(() => download(hub.openFile(repository, commit, file), file, path, context));
    }
    return openLocalFile(path);
  };
  return {
    name: `${file.path} of ${repository.name}`,
    sizeBytes: file.sizeBytes,
    async read(start, end) {
      local ??= opened();
      return (await local).read(start, end);
    },
    async close() {
      await (await local?.catch(() => undefined))?.close();
    },
  };
}

/** A small file of a repository, kept with its sha256 beside it when a cache folder is given. */
export async function readCachedFile(
  hub: Hub,
  repository: HubRepository,
  commit: string,
  path: string,
  cacheFolder: string | undefined,
): Promise<Uint8Array | null> {
  if (cacheFolder === undefined) return hub.readFile(repository, commit, path);
  const kept = cachedPath(cacheFolder, repository, commit, path);
  const found = await readFile(kept).catch(() => undefined);
  const sha256 = await readFile(`${kept}.sha256`, 'utf8').catch(() => undefined);
  if (found !== undefined && createHash('sha256').update(found).digest('hex') === sha256?.trim())
    return found;
  const bytes = await hub.readFile(repository, commit, path);
  if (bytes !== null) {
    await ensureFolder(dirname(kept));
    const written = await writeFileAtomic(kept, bytes);
    await writeFileAtomic(`${kept}.sha256`, `${written.sha256}\n`);
  }
  return bytes;
}

async function download(
  remote: ByteFile,
  file: SourceFile,
  path: string,
  context: SourceContext,
): Promise<void> {
  const folder = dirname(path);
  await ensureFolder(folder);
  const lock = await waitForLock(folder, context);
  try {
    // Another process may have brought it meanwhile.
    if (await isCached(path, file)) return;
    const partial = `${path}.partial`;
    await append(remote, partial, file.sizeBytes);
    await verify(partial, file, remote.name);
    await rename(partial, path);
    await syncFolder(folder);
  } catch (error) {
    context.signal?.throwIfAborted();
    throw diskError('download to', path, error);
  } finally {
    await lock.release();
  }
}

async function waitForLock(folder: string, context: SourceContext): Promise<FolderLock> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await lockFolder(folder);
    } catch (error) {
      if (!(error instanceof TacoError) || error.code !== 'locked') throw error;
      if (attempt === 1) {
        const message = `another process is downloading to ${folder}, waiting for it`;
        context.onWait?.({ reason: 'retry', waitMs: LOCK_POLL_MS, attempt, message });
      }
      await delay(LOCK_POLL_MS, undefined, context.signal === undefined ? {} : { signal: context.signal });
    }
  }
}

async function append(remote: ByteFile, partial: string, sizeBytes: number): Promise<void> {
  const handle = await open(partial, 'a');
  try {
    const { size } = await handle.stat();
    const done = size > sizeBytes ? 0 : size;
    if (done !== size) await truncate(partial, 0);
    const blocks = prefetch(
      (function* () {
        for (let start = done; start < sizeBytes; start += BLOCK_BYTES) {
          yield () => remote.read(start, Math.min(start + BLOCK_BYTES, sizeBytes));
        }
      })(),
      READ_AHEAD,
    );
    for await (const block of blocks) await handle.appendFile(block);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function verify(partial: string, file: SourceFile, name: string): Promise<void> {
  const damage = await damageOf(partial, file);
  if (damage === undefined) return;
  await rm(partial, { force: true });
  throw new TacoError(
    `the download of ${name} is damaged (${damage}); it was removed, run the command again`,
    {
      code: 'corrupt',
      stage: 'source',
      path: partial,
    },
  );
}

/** The Hub names large files by their sha256 and small ones by git's blob id. @returns what differs, in words */
async function damageOf(path: string, { digest, sizeBytes }: SourceFile): Promise<string | undefined> {
  const { size } = await stat(path);
  if (size !== sizeBytes) return `${size} bytes instead of ${sizeBytes}`;
  if (/^[0-9a-f]{64}$/.test(digest)) {
    const found = await hashOf(path, createHash('sha256'));
    if (found !== digest) return `sha256 ${found} instead of ${digest}`;
  } else if (/^[0-9a-f]{40}$/.test(digest)) {
    const found = await hashOf(path, createHash('sha1').update(`blob ${size}\0`));
    if (found !== digest) return `git id ${found} instead of ${digest}`;
  }
  return undefined;
}

async function hashOf(path: string, hash: ReturnType<typeof createHash>): Promise<string> {
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
