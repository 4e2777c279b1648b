import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import {
  ensureFolder,
  messageOf,
  syncFolder,
  systemCodeOf,
  TacoError,
  writeFileAtomic,
} from '../../pipeline/index.ts';
import { type CheckpointState, parseCheckpointState } from './checkpoint-state.ts';
import { readSafetensors, writeSafetensors } from './safetensors.ts';
import type { NamedArray } from './session-types.ts';

export const modelFile = 'model.safetensors';
const optimizerFile = 'optimizer.safetensors';
const stateFile = 'state.json';
const manifestFile = 'manifest.json';

/** Names of optimiser tensors begin with this; all others are parameters. */
const optimizerPrefix = 'optimizer.';

/** Folders under this prefix are unfinished or on their way out; nobody reads them. */
export const temporaryPrefix = '.tmp-';
/** Behind a temporary name: a checkpoint that stepped aside for another of its step. */
const replacedSuffix = '-replaced';

export interface CheckpointContent {
  readonly state: CheckpointState;
  /** Parameters under transformers' names and optimiser state, as `TrainingSession.exportState` gives them. */
  readonly tensors: ReadonlyMap<string, NamedArray>;
  /** Small files that make the folder a transformers model: `config.json`, `vocab.txt`, … */
  readonly files: ReadonlyMap<string, string | Uint8Array>;
}

const manifestSchema = z.strictObject({
  version: z.literal(1),
  files: z.array(
    z.strictObject({ name: z.string().regex(/^[\w.-]+$/), bytes: z.int().nonnegative(), sha256: z.string() }),
  ),
});

/** `checkpoint-1000` */
export function checkpointName(step: number): string {
  return `checkpoint-${step}`;
}

/** The step of a checkpoint's folder name, or undefined for any other name. */
export function stepOfName(name: string): number | undefined {
  const digits = /^checkpoint-(\d+)$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/**
 * Writes `checkpoint-N` into the run's folder: whole under its final name or not at all.
 * @returns its path
 * @throws TacoError `disk`
 */
export async function writeCheckpoint(runFolder: string, content: CheckpointContent): Promise<string> {
  const name = checkpointName(content.state.progress.step);
  const final = join(runFolder, name);
  const temporary = join(runFolder, temporaryPrefix + name);
  try {
    await rm(temporary, { recursive: true, force: true });
    await ensureFolder(temporary);
    await writeContent(temporary, content);
    await replaceFolder(temporary, final);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    await restoreReplaced(runFolder).catch(() => undefined);
    // What a single file says to a user who can start again is not what this one can do.
    const reason = error instanceof TacoError ? (error.cause ?? error) : error;
    throw new TacoError(`cannot write the checkpoint ${final}: ${messageOf(reason)}`, {
      code: 'disk',
      stage: 'checkpoint',
      path: final,
      cause: error,
    });
  }
  return final;
}

async function writeContent(folder: string, { state, tensors, files }: CheckpointContent): Promise<void> {
  const isOptimizer = ([name]: readonly [string, NamedArray]): boolean => name.startsWith(optimizerPrefix);
  const written = new Map<string, { readonly bytes: number; readonly sha256: string }>();
  const entries = [...tensors];
  written.set(
    modelFile,
    await writeSafetensors(join(folder, modelFile), new Map(entries.filter((entry) => !isOptimizer(entry)))),
  );
  written.set(
    optimizerFile,
    await writeSafetensors(join(folder, optimizerFile), new Map(entries.filter(isOptimizer))),
  );
  for (const [name, data] of files) written.set(name, await writeFileAtomic(join(folder, name), data));
  written.set(stateFile, await writeFileAtomic(join(folder, stateFile), toJson(state)));
  const manifest = {
    version: 1,
    files: [...written].map(([name, { bytes, sha256 }]) => ({ name, bytes, sha256 })),
  };
  await writeFileAtomic(join(folder, manifestFile), toJson(manifest));
}

/** A folder cannot be renamed onto another one that is not empty: the old one steps aside first. */
export async function replaceFolder(from: string, to: string): Promise<void> {
  const old = from + replacedSuffix;
  await rm(old, { recursive: true, force: true });
  try {
    await rename(to, old);
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
  }
  await rename(from, to);
  await syncFolder(dirname(to));
  await rm(old, { recursive: true, force: true });
}

/** Puts checkpoints back that had stepped aside for one that never took their place. */
export async function restoreReplaced(runFolder: string): Promise<void> {
  for (const old of await readdir(runFolder)) {
    if (!old.startsWith(temporaryPrefix) || !old.endsWith(replacedSuffix)) continue;
    const name = old.slice(temporaryPrefix.length, -replacedSuffix.length);
    if ((await sizeOf(join(runFolder, name))) !== undefined) continue;
    await rename(join(runFolder, old), join(runFolder, name));
  }
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/**
 * Compares every file of a checkpoint with the hashes written beside it and reads its state.
 * @throws TacoError `corrupt` naming the file that is missing or was altered, `mismatch` for another version's state
 */
export async function verifyCheckpoint(folder: string): Promise<CheckpointState> {
  await verifyFiles(folder);
  return parseCheckpointState(await readJson(folder, stateFile), folder);
}

/**
 * Compares every file of a checkpoint with the hashes written beside it.
 * @throws TacoError `corrupt` naming the file that is missing or was altered
 */
async function verifyFiles(folder: string): Promise<void> {
  const manifest = manifestSchema.safeParse(await readJson(folder, manifestFile));
  if (!manifest.success) throw damaged(folder, `${manifestFile} has not the form that was expected`);
  const listed = new Map(manifest.data.files.map((file) => [file.name, file]));
  for (const name of [modelFile, optimizerFile, stateFile]) {
    if (!listed.has(name)) throw damaged(folder, `${manifestFile} does not list ${name}`);
  }
  for (const { name, bytes, sha256 } of listed.values()) {
    const path = join(folder, name);
    const size = await sizeOf(path);
    if (size === undefined) throw damaged(folder, `${name} is missing`);
    if (size !== bytes) throw damaged(folder, `${name} has ${size} bytes, ${bytes} were written`);
    if ((await hashOf(path)) !== sha256) throw damaged(folder, `${name} is not what was written (sha256)`);
  }
}

/** @returns parameters and optimiser state, as `TrainingSession.importState` takes them */
export async function readCheckpointTensors(folder: string): Promise<Map<string, NamedArray>> {
  const model = await readSafetensors(join(folder, modelFile));
  const optimizer = await readSafetensors(join(folder, optimizerFile));
  return new Map([...model, ...optimizer]);
}

async function readJson(folder: string, name: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(join(folder, name), 'utf8'));
  } catch (error) {
    const code = systemCodeOf(error);
    if (code !== undefined && code !== 'ENOENT') throw error;
    throw damaged(folder, `${name} cannot be read (${messageOf(error)})`, error);
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

function damaged(folder: string, why: string, cause?: unknown): TacoError {
  return new TacoError(`${folder} is damaged: ${why}`, {
    code: 'corrupt',
    stage: 'checkpoint',
    path: folder,
    cause,
  });
}
