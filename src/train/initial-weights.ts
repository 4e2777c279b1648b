import { TacoError, type TokenizerSpec } from '../../pipeline/index.ts';
import { type ImportedModel, type ImportOptions, importModel } from '../export/import-model.ts';
import type { BertConfig } from '../model/config.ts';

/** What a new run is to train. */
export interface Trainee {
  readonly model: BertConfig;
  readonly tokenizer: TokenizerSpec;
}

/**
 * The model that a new run begins with.
 * @param reference `--init-from`: a run, a checkpoint, a Hugging Face folder, or `hub:org/name[@revision]`
 * @throws TacoError as `importModel`, and `mismatch` when it is not of the model and the words that are to be trained
 */
export async function readInitialWeights(
  reference: string,
  trainee: Trainee,
  options: ImportOptions,
): Promise<ImportedModel> {
  const imported = await importModel(reference, options);
  requireFit(reference, imported, trainee);
  return imported;
}

/**
 * Holds a model against the one that is to be trained.
 * @throws TacoError `mismatch` that names both
 */
export function requireFit(
  reference: string,
  { config, tokenizer }: Pick<ImportedModel, 'config' | 'tokenizer'>,
  trainee: Trainee,
): void {
  const { model } = trainee;
  const sizes = [
    ['a vocabulary of', config.vocabSize, model.vocabSize, 'prepare the data with its tokenizer'],
    ['a width of', config.hiddenSize, model.hiddenSize, 'choose its size with --model or --bert-config'],
    ['layers:', config.numLayers, model.numLayers, 'choose its size with --model or --bert-config'],
    ['heads:', config.numHeads, model.numHeads, 'choose its size with --model or --bert-config'],
    ['positions:', config.maxPositions, model.maxPositions, 'choose its size with --bert-config'],
  ] as const;
  for (const [what, theirs, ours, advice] of sizes) {
    if (theirs === ours) continue;
    throw mismatch(reference, `has ${what} ${theirs}, the model to train ${ours}; ${advice}`);
  }
  if (tokenizer !== undefined) requireSameWords(reference, tokenizer, trainee.tokenizer);
}

/** Ids mean nothing without their words. A model that comes without a tokenizer is taken at its word. */
function requireSameWords(
  reference: string,
  { vocabulary: theirs }: TokenizerSpec,
  { vocabulary: ours }: TokenizerSpec,
): void {
  const count = Math.max(theirs.length, ours.length);
  for (let id = 0; id < count; id += 1) {
    if (theirs[id] === ours[id]) continue;
    const show = (word: string | undefined): string => (word === undefined ? 'no word' : `"${word}"`);
    throw mismatch(
      reference,
      `has another vocabulary: its id ${id} is ${show(theirs[id])}, that of the data ${show(ours[id])}; prepare the data with its tokenizer`,
    );
  }
}

function mismatch(reference: string, what: string): TacoError {
  return new TacoError(`--init-from ${reference} ${what}`, {
    code: 'mismatch',
    stage: 'train',
    path: reference,
  });
}
