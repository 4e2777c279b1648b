import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TacoError, type TokenizerSpec, tokenizerFilesOf } from '../../pipeline/index.ts';
import type { BertConfig } from '../model/config.ts';
import { hasManifest, modelFile, verifyFiles } from './checkpoint.ts';
import { runFiles } from './run-folder.ts';
import { readSafetensors } from './safetensors.ts';
import type { NamedArray } from './session-types.ts';

const vocabularyFile = 'vocab.txt';

/**
 * Weights that a new run begins with, under transformers' names.
 * @param reference `--init-from`: a checkpoint, or any folder with a `model.safetensors`
 * @throws TacoError `not-found` when there is no model, `corrupt` when it is not what was written
 */
export async function readInitialWeights(reference: string): Promise<Map<string, NamedArray>> {
  if (!existsSync(join(reference, modelFile))) throw noModel(reference);
  if (hasManifest(reference)) await verifyFiles(reference);
  return await readSafetensors(join(reference, modelFile));
}

function noModel(reference: string): TacoError {
  const advice = existsSync(join(reference, runFiles.latest))
    ? `it is a run, name one of its checkpoints, such as ${join(reference, 'checkpoint-1000')}`
    : 'name a checkpoint or another folder that has one';
  return new TacoError(`--init-from ${reference} has no ${modelFile}: ${advice}`, {
    code: 'not-found',
    stage: 'train',
    path: reference,
  });
}

/**
 * Holds weights against the model and the words that are to be trained. What else may be wrong with them is noticed when
 * they are taken.
 * @throws TacoError `mismatch` that names both
 */
export async function requireFit(
  reference: string,
  weights: ReadonlyMap<string, NamedArray>,
  { model, tokenizer }: { readonly model: BertConfig; readonly tokenizer: TokenizerSpec },
): Promise<void> {
  const [vocabSize, hiddenSize] =
    weights.get('bert.embeddings.word_embeddings.weight')?.shape ?? ([] as readonly number[]);
  const [maxPositions] = weights.get('bert.embeddings.position_embeddings.weight')?.shape ?? [];
  const layers = [...weights.keys()].map((name) => /^bert\.encoder\.layer\.(\d+)\./.exec(name)?.[1]);
  const numLayers = new Set(layers.filter((layer) => layer !== undefined)).size;
  const sizes = [
    ['a vocabulary of', vocabSize, model.vocabSize, 'prepare the data with its tokenizer'],
    ['a width of', hiddenSize, model.hiddenSize, 'choose its size with --model or --bert-config'],
    ['layers:', numLayers, model.numLayers, 'choose its size with --model or --bert-config'],
    ['positions:', maxPositions, model.maxPositions, 'choose its size with --bert-config'],
  ] as const;
  for (const [what, theirs, ours, advice] of sizes) {
    if (theirs === ours) continue;
    throw mismatch(reference, `has ${what} ${theirs ?? 'none'}, the model to train ${ours}; ${advice}`);
  }
  await requireSameWords(reference, tokenizer);
}

/** Ids mean nothing without their words. A folder that does not say its words is taken at its word. */
async function requireSameWords(reference: string, tokenizer: TokenizerSpec): Promise<void> {
  const path = join(reference, vocabularyFile);
  if (!existsSync(path)) return;
  const theirs = linesOf(await readFile(path, 'utf8'));
  const ours = linesOf(tokenizerFilesOf(tokenizer).get(vocabularyFile) ?? '');
  const line = Math.max(theirs.length, ours.length);
  for (let id = 0; id < line; id += 1) {
    if (theirs[id] === ours[id]) continue;
    const show = (word: string | undefined): string => (word === undefined ? 'no word' : `"${word}"`);
    throw mismatch(
      reference,
      `has another vocabulary: its id ${id} is ${show(theirs[id])}, that of the data ${show(ours[id])}; prepare the data with its tokenizer`,
    );
  }
}

function linesOf(text: string): readonly string[] {
  return text.replace(/\r?\n$/, '').split(/\r?\n/);
}

function mismatch(reference: string, what: string): TacoError {
  return new TacoError(`--init-from ${reference} ${what}`, {
    code: 'mismatch',
    stage: 'train',
    path: reference,
  });
}
