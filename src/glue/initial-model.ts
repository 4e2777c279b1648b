import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import {
  messageOf,
  readTokenizerFiles,
  systemCodeOf,
  TacoError,
  type TokenizerSpec,
} from '../../pipeline/index.ts';
import { type BertConfig, parseBertConfig } from '../model/config.ts';
import { modelFile, stepOfName, verifyCheckpoint } from '../train/checkpoint.ts';
import { findCheckpoint, holdsRun } from '../train/run-folder.ts';
import { readSafetensors } from '../train/safetensors.ts';
import type { NamedArray } from '../train/session-types.ts';

/** A pretrained model, read into memory. */
export interface InitialModel {
  /** Where it lies: a checkpoint of a run, or a Hugging Face folder. */
  readonly folder: string;
  /** SHA-256 of its parameters, in hexadecimal: the same wherever it lies. */
  readonly id: string;
  /** Updates of its pretraining; 0 where that is not known. */
  readonly step: number;
  readonly config: BertConfig;
  /** Parameters under transformers' names. */
  readonly tensors: ReadonlyMap<string, NamedArray>;
  readonly tokenizer: TokenizerSpec;
  /** What the user should know: damaged checkpoints that were passed over. */
  readonly notes: readonly string[];
}

/**
 * Reads what a fine-tuning starts from.
 * @param reference a run (its newest checkpoint), a checkpoint, or a folder with `config.json`, `model.safetensors` and
 *   `tokenizer.json` or `vocab.txt`
 * @throws TacoError `not-found`, `bad-config`, `corrupt` or `mismatch` in one line
 */
export async function readInitialModel(reference: string): Promise<InitialModel> {
  const { folder, step, notes } = await findModel(reference);
  const config = await readConfig(folder);
  const tokenizer = await readTokenizer(folder);
  if (tokenizer.vocabulary.length > config.vocabSize) {
    throw new TacoError(
      `${folder} has a tokenizer of ${tokenizer.vocabulary.length} words and a model of ${config.vocabSize}: they belong to different models; take a folder as it was written`,
      { code: 'mismatch', stage: 'glue', path: folder },
    );
  }
  const tensors = await readSafetensors(join(folder, modelFile));
  return { folder, id: idOf(tensors), step, config, tensors, tokenizer, notes };
}

/**
 * Where results of a model belong: beside a run's checkpoints, so that each checkpoint has its own; beside the folder
 * of any other model.
 */
export function resultsFolderOf(modelFolder: string): string {
  const name = basename(modelFolder);
  return stepOfName(name) === undefined
    ? `${modelFolder.replace(/[/\\]+$/, '')}-glue`
    : join(dirname(modelFolder), 'glue', name);
}

async function findModel(
  reference: string,
): Promise<{ readonly folder: string; readonly step: number; readonly notes: readonly string[] }> {
  if (!(await isFolder(reference))) {
    throw new TacoError(
      `${reference} is no folder, expected a run, a checkpoint such as runs/x/checkpoint-1000, or a Hugging Face model's folder`,
      { code: 'not-found', stage: 'glue', path: reference },
    );
  }
  if (stepOfName(basename(reference)) !== undefined) {
    const { progress } = await verifyCheckpoint(reference);
    return { folder: reference, step: progress.step, notes: [] };
  }
  if (!(await holdsRun(reference))) return { folder: reference, step: 0, notes: [] };
  const { checkpoint, damaged } = await findCheckpoint(reference);
  if (checkpoint === undefined) {
    throw new TacoError(`${reference} has no checkpoint yet; train on, or name another run`, {
      code: 'not-found',
      stage: 'glue',
      path: reference,
    });
  }
  const notes = damaged.map((line) => `${line}; the checkpoint before is used`);
  return { folder: checkpoint.path, step: checkpoint.state.progress.step, notes };
}

async function readConfig(folder: string): Promise<BertConfig> {
  const path = join(folder, 'config.json');
  const bytes = await readOptional(path);
  if (bytes === null) {
    throw new TacoError(
      `${folder} holds no model (config.json is missing); expected a run, a checkpoint, or a Hugging Face model's folder`,
      { code: 'not-found', stage: 'glue', path: folder },
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (error) {
    throw new TacoError(`${path} is not JSON (${messageOf(error)}); write or fetch it again`, {
      code: 'corrupt',
      stage: 'glue',
      path,
    });
  }
  return parseBertConfig(json, path);
}

async function readTokenizer(folder: string): Promise<TokenizerSpec> {
  const read = async (name: string) => {
    const path = join(folder, name);
    const bytes = await readOptional(path);
    return bytes === null ? null : { path, bytes };
  };
  return readTokenizerFiles(read, folder);
}

/** Null where there is no such file. */
async function readOptional(path: string): Promise<Uint8Array | null> {
  try {
    return await readFile(path);
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return null;
    throw new TacoError(`cannot read ${path}: ${messageOf(error)}`, {
      code: 'disk',
      stage: 'glue',
      path,
      cause: error,
    });
  }
}

async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found?.isDirectory() === true;
}

function idOf(tensors: ReadonlyMap<string, NamedArray>): string {
  const hash = createHash('sha256');
  for (const [name, { shape, values }] of [...tensors].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`${name} ${shape.join(',')}\n`).update(values);
  }
  return hash.digest('hex');
}
