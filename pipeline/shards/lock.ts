import { randomUUID } from 'node:crypto';
import { constants, copyFile, link, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { systemCodeOf, TacoError } from '../errors.ts';
import { diskError } from './atomic.ts';

export const lockFile = '.lock';

const HEARTBEAT_MS = 10_000;
/** A lock of another machine, whose processes we cannot see, is dead when it was silent for this long. */
const SILENT_MS = 6 * HEARTBEAT_MS;
const MAX_ATTEMPTS = 100;
const RETRY_MS = 20;
const noLinks: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

const holderSchema = z.strictObject({
  pid: z.int().positive(),
  host: z.string(),
  /** When the process began, where the system tells: a pid alone may be used again. */
  processStart: z.string(),
  /** Distinguishes locks of one process. */
  id: z.string(),
});
type Holder = z.infer<typeof holderSchema>;

/** Exclusive right to write into a folder, until `release`. */
export interface FolderLock {
  release(): Promise<void>;
}

/**
 * Takes the lock of a folder that exists. The lock file appears whole or not at all (hard link of a finished
 * file), and a lock whose process is dead is taken over.
 * @throws TacoError `locked` when another process works on the folder, `disk` when it cannot be written
 */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const path = join(folder, lockFile);
  const own: Holder = {
    pid: process.pid,
    host: hostname(),
    processStart: await processStartOf(process.pid),
    id: randomUUID(),
  };
  const candidate = join(folder, candidateName(own));
  try {
    await writeFile(candidate, `${JSON.stringify(own)}\n`, { flag: 'wx' });
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      if (await linkOnce(candidate, path)) {
        await sweep(folder);
        return held(path, own);
      }
      await takeAway(path, candidate);
    }
    throw new TacoError(`cannot lock ${folder}: other processes are taking it at the same time; try again`, {
      code: 'locked',
      stage: 'shards',
      path,
    });
  } catch (error) {
    throw diskError('lock', folder, error);
  } finally {
    await rm(candidate, { force: true }).catch(() => undefined);
  }
}

/** Names its process, which may be killed before it has written a byte. */
function candidateName({ pid, processStart, id, host }: Holder): string {
  return [lockFile, pid, processStart, id, host.replaceAll('/', '_')].join('-');
}

const candidatePattern = /^\.lock-(?<pid>\d+)-(?<processStart>\d*)-(?<id>[\da-f-]{36})-(?<host>.+)$/;

function holderOfCandidate(name: string): Holder | undefined {
  const parts = candidatePattern.exec(name)?.groups;
  return holderSchema.safeParse({ ...parts, pid: Number(parts?.pid) }).data;
}

/** Removes what processes that died in the middle of locking left behind. */
async function sweep(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (!name.startsWith(`${lockFile}-`)) continue;
    const holder = holderOfCandidate(name) ?? (await readHolder(path));
    if (await isAbandoned(path, holder)) await rm(path, { force: true });
  }
}

/** @returns false when there is a lock already */
async function linkOnce(candidate: string, path: string): Promise<boolean> {
  try {
    await link(candidate, path);
    return true;
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') return false;
    if (!noLinks.has(systemCodeOf(error) ?? '')) throw error;
  }
  // A file system without hard links (FAT, some network mounts).
  try {
    await copyFile(candidate, path, constants.COPYFILE_EXCL);
    return true;
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Removes a stale lock. Only one process at a time may: it holds a second lock for that moment, so that nobody
 * takes away what another has just put in the stale one's place.
 * @throws TacoError `locked` when its holder lives
 */
async function takeAway(path: string, candidate: string): Promise<void> {
  const found = await readHolder(path);
  if (found === undefined) return;
  if (await isAlive(path, found)) throw lockedBy(path, found);
  const broom = `${path}-removal`;
  if (!(await linkOnce(candidate, broom))) {
    if (await isAbandoned(broom, await readHolder(broom))) await rm(broom, { force: true });
    await delay(RETRY_MS);
    return;
  }
  try {
    const still = await readHolder(path);
    if (still?.id === found.id) await rm(path, { force: true });
  } finally {
    await rm(broom, { force: true });
  }
}

async function readHolder(path: string): Promise<Holder | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch {
    // Half-written when the machine went down, or not ours: judged by its age alone.
    return { pid: 0, host: 'an unknown machine', processStart: '', id: text };
  }
}

async function isAlive(path: string, holder: Holder): Promise<boolean> {
  if (holder.host !== hostname()) {
    return !(await isSilent(path));
  }
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    // EPERM: it lives and belongs to someone else.
    if (systemCodeOf(error) === 'ESRCH') return false;
  }
  return holder.processStart === (await processStartOf(holder.pid));
}

/** Whether the process that wrote a lock or a candidate for one is dead. */
async function isAbandoned(path: string, holder: Holder | undefined): Promise<boolean> {
  return holder !== undefined && !(await isAlive(path, holder));
}

async function isSilent(path: string): Promise<boolean> {
  try {
    return Date.now() - (await stat(path)).mtimeMs >= SILENT_MS;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return true;
    throw error;
  }
}

/** Clock ticks since boot at which a process began; empty where the system has no /proc. */
export async function processStartOf(pid: number): Promise<string> {
  try {
    const status = await readFile(`/proc/${pid}/stat`, 'utf8');
    // Field 22; the name in field 2 may hold spaces, so count from its closing parenthesis.
    return status.slice(status.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function lockedBy(path: string, holder: Holder): TacoError {
  const where = holder.host === hostname() ? '' : ` on ${holder.host}`;
  return new TacoError(
    `process ${holder.pid}${where} is preparing this folder (${path}); wait for it, stop it, or choose another folder with --out`,
    { code: 'locked', stage: 'shards', path },
  );
}

function held(path: string, own: Holder): FolderLock {
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined);
  }, HEARTBEAT_MS);
  heartbeat.unref();
  return {
    async release() {
      clearInterval(heartbeat);
      const found = await readHolder(path).catch(() => undefined);
      if (found?.id === own.id) await rm(path, { force: true }).catch(() => undefined);
    },
  };
}
