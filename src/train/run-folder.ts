import { existsSync } from 'node:fs';
import { readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, systemCodeOf, TacoError, writeFileAtomic } from '../../pipeline/index.ts';
import {
  checkpointName,
  restoreReplaced,
  stepOfName,
  temporaryPrefix,
  verifyCheckpoint,
} from './checkpoint.ts';
import type { CheckpointState } from './checkpoint-state.ts';

/** What lies in a run's folder. */
export const runFiles = {
  /** Name of the newest checkpoint, one line. */
  latest: 'latest',
  /** All settings; `--config` reads it. */
  recipe: 'recipe.json',
  metrics: 'metrics.jsonl',
  /** TensorBoard takes any name with `tfevents`. One file a run, so that it can be cut where a checkpoint was. */
  tensorboard: join('tensorboard', 'events.out.tfevents.run'),
  plot: 'loss.svg',
} as const;

const damagedSuffix = '.damaged';

export interface FoundCheckpoint {
  readonly path: string;
  readonly state: CheckpointState;
}

export interface CheckpointSearch {
  /** The newest one whose hashes are right. */
  readonly checkpoint: FoundCheckpoint | undefined;
  /** One line for each newer one that is damaged: it was renamed and is out of the way. */
  readonly damaged: readonly string[];
}

/** Steps of the folder's checkpoints, newest first; none when the folder is not there. */
export async function listCheckpoints(runFolder: string): Promise<readonly number[]> {
  const names = await namesIn(runFolder);
  return names
    .map(stepOfName)
    .filter((step) => step !== undefined)
    .sort((a, b) => b - a);
}

/**
 * Finds where a run goes on. A damaged checkpoint is kept for the user to look at, under another name.
 * @throws TacoError `corrupt` when there are checkpoints and all are damaged; `mismatch` when the newest is of another
 *   version of this program; `disk` when it cannot be read
 */
export async function findCheckpoint(runFolder: string): Promise<CheckpointSearch> {
  const damaged: string[] = [];
  for (const step of await listCheckpoints(runFolder)) {
    const path = join(runFolder, checkpointName(step));
    try {
      return { checkpoint: { path, state: await verifyCheckpoint(path) }, damaged };
    } catch (error) {
      // A checkpoint of another version, or one that cannot be read, is not damaged: it must not be set aside.
      if (!(error instanceof TacoError) || error.code !== 'corrupt') throw unreadable(path, error);
      damaged.push(error.message);
    }
  }
  const [first] = damaged;
  if (first !== undefined) {
    throw new TacoError(
      `no checkpoint of ${runFolder} is whole (${first}); restore one, or begin anew with --no-resume, which moves the folder aside`,
      { code: 'corrupt', stage: 'checkpoint', path: runFolder },
    );
  }
  return { checkpoint: undefined, damaged };
}

/**
 * Makes the checkpoint of a step the newest: `latest` points to it, and those of later steps are put out of the way. They
 * are damaged, or of steps made again.
 */
export async function setAsideNewer(runFolder: string, step: number): Promise<void> {
  const newest = (await listCheckpoints(runFolder)).filter((other) => other > step);
  await pointLatest(runFolder, step);
  for (const newer of newest) {
    const path = join(runFolder, checkpointName(newer));
    await rm(path + damagedSuffix, { recursive: true, force: true });
    await rename(path, path + damagedSuffix);
  }
}

/**
 * What is wrong with `latest`, in one line; undefined where it names a checkpoint, or is not there: a process may end
 * between the first checkpoint and it. Others read it, this program does not.
 */
export async function faultOfLatest(runFolder: string): Promise<string | undefined> {
  const path = join(runFolder, runFiles.latest);
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const step = stepOfName(text.trim());
  if (step !== undefined && (await listCheckpoints(runFolder)).includes(step)) return undefined;
  return `${path} names no checkpoint`;
}

/** Points `latest` to a checkpoint, atomically. */
export async function pointLatest(runFolder: string, step: number): Promise<void> {
  await writeFileAtomic(join(runFolder, runFiles.latest), `${checkpointName(step)}\n`);
}

/**
 * Removes the oldest checkpoints until `keep` are left. Called after a new one is safe on the disk: that one
 * always stays.
 */
export async function rotate(runFolder: string, keep: number): Promise<void> {
  const surplus = (await listCheckpoints(runFolder)).slice(Math.max(1, keep));
  for (const step of surplus) {
    const path = join(runFolder, checkpointName(step));
    // Half a removed folder must not look like a damaged checkpoint.
    const leaving = join(runFolder, `${temporaryPrefix}old-${checkpointName(step)}`);
    await rename(path, leaving);
    await rm(leaving, { recursive: true, force: true });
  }
}

/** Tidies up after an interrupted write or rotation. */
export async function removeLeftovers(runFolder: string): Promise<void> {
  await restoreReplaced(runFolder);
  for (const name of await namesIn(runFolder)) {
    if (name.startsWith(temporaryPrefix)) await rm(join(runFolder, name), { recursive: true, force: true });
  }
}

/** Whether the folder holds a run, finished or not. */
export async function holdsRun(runFolder: string): Promise<boolean> {
  const names = await namesIn(runFolder);
  return names.some((name) => name === runFiles.recipe || stepOfName(name) !== undefined);
}

/**
 * Moves a run out of the way of a new one: `runs/x` becomes `runs/x-1`, or the first number that is free.
 * @returns where it lies now
 */
export async function moveRunAside(runFolder: string): Promise<string> {
  const folder = runFolder.replace(/[/\\]+$/, '');
  let number = 1;
  while (existsSync(`${folder}-${number}`)) number += 1;
  await rename(folder, `${folder}-${number}`);
  return `${folder}-${number}`;
}

function unreadable(path: string, error: unknown): TacoError {
  if (error instanceof TacoError) return error;
  return new TacoError(`cannot read the checkpoint ${path}: ${messageOf(error)}`, {
    code: 'disk',
    stage: 'checkpoint',
    path,
    cause: error,
  });
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return [];
    throw new TacoError(`cannot read the folder ${folder}: ${messageOf(error)}`, {
      code: 'disk',
      stage: 'checkpoint',
      path: folder,
      cause: error,
    });
  }
}
