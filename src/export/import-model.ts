import {
  type ModelFiles,
  messageOf,
  openModelFiles,
  readTokenizerFiles,
  readModelFile,
  type SourceContext,
  TacoError,
  type TokenizerSpec,
} from '../../pipeline/index.ts';
import { type BertConfig, parseHuggingFaceConfig } from '../model/config.ts';
import { modelFile, verifyCheckpoint } from '../train/checkpoint.ts';
import { type FoundCheckpoint, findCheckpoint, holdsRun } from '../train/run-folder.ts';
import { decodeSafetensors } from '../train/safetensors.ts';
import type { NamedArray } from '../train/session-types.ts';
import { weightFiles } from './weight-files.ts';
import {
  completeTensors,
  type Head,
  presentName,
  wantedTensors,
  type WantedTensors,
} from './tensor-names.ts';

/** A model read into memory, complete and checked. */
export interface ImportedModel {
  /** Where it lies: a folder, or `hub:org/name@<commit>`. */
  readonly reference: string;
  readonly config: BertConfig;
  /** Parameters by transformers' names, as `TrainingSession.importState` takes them; float32. */
  readonly tensors: Map<string, NamedArray>;
  /** Undefined where the model comes without one. */
  readonly tokenizer: TokenizerSpec | undefined;
  /** What the user should know: a head made anew, settings that mean nothing here, damaged checkpoints. */
  readonly notes: readonly string[];
  /** Of a run of this program. */
  readonly checkpoint: FoundCheckpoint | undefined;
}

export interface ImportOptions {
  /** Access to the Hub; nothing of it is used for a folder. */
  readonly context: SourceContext;
  /**
   * What is read on top of the encoder. Default `mlm`; `pooler`: that of a model that has one, instead of the MLM head.
   */
  readonly head?: Head;
  /** Initialises an MLM head where there is none. Default 42. */
  readonly seed?: number;
}

/**
 * Reads a BERT: the newest checkpoint of a run, a checkpoint, a Hugging Face folder, or a repository of the Hub.
 * @param reference a folder, or `hub:org/name[@revision]`
 * @throws TacoError `not-found`, `bad-config`, `mismatch`, `corrupt` or `disk` in one line; on the Hub also `forbidden`
 *   and `network`
 */
export async function importModel(
  reference: string,
  { context, head = 'mlm', seed = 42 }: ImportOptions,
): Promise<ImportedModel> {
  const { checkpoint, notes: damaged } = await checkpointOf(reference);
  const files = await openModelFiles(checkpoint?.path ?? reference, context);
  const weights = await weightFiles(files);
  const { config, ignored } = await readConfig(files);
  const tokenizer = await readTokenizer(files);
  if (tokenizer !== undefined && tokenizer.vocabulary.length > config.vocabSize) {
    throw new TacoError(
      `${files.reference} has a tokenizer of ${tokenizer.vocabulary.length} words and a model of ${config.vocabSize}; the two are not of one model`,
      { code: 'mismatch', stage: 'model', path: files.reference },
    );
  }
  const read = await readTensors(files, weights, wantedTensors(config, head));
  const { tensors, notes } = completeTensors(read.found, config, { head, origin: files.reference, seed });
  const ignoredNote = `${files.nameOf('config.json')}: ${ignored.join(', ')} mean nothing here and are left out`;
  return {
    reference: files.reference,
    config,
    tensors,
    tokenizer,
    notes: [...damaged, ...(ignored.length === 0 ? [] : [ignoredNote]), ...read.notes, ...notes],
    checkpoint,
  };
}

/** @throws TacoError `not-found` where the model came without one */
export function tokenizerOf({
  reference,
  tokenizer,
}: Pick<ImportedModel, 'reference' | 'tokenizer'>): TokenizerSpec {
  if (tokenizer !== undefined) return tokenizer;
  throw new TacoError(
    `${reference} has no tokenizer (neither tokenizer.json nor vocab.txt); copy those of the model into it`,
    { code: 'not-found', stage: 'model', path: reference },
  );
}

/** The checkpoint that a reference means, its hashes compared; undefined where it means another model. */
async function checkpointOf(
  reference: string,
): Promise<{ readonly checkpoint: FoundCheckpoint | undefined; readonly notes: readonly string[] }> {
  if (reference.startsWith('hub:')) return { checkpoint: undefined, notes: [] };
  const { names } = await openModelFiles(reference, {});
  if (await holdsRun(reference)) {
    const { checkpoint, damaged } = await findCheckpoint(reference);
    if (checkpoint !== undefined) return { checkpoint, notes: damaged };
    throw new TacoError(
      `${reference} has no checkpoint yet; train until the first is written, or stop train with Ctrl-C, which writes one`,
      { code: 'not-found', stage: 'model', path: reference },
    );
  }
  if (!names.has('state.json') || !names.has('manifest.json')) return { checkpoint: undefined, notes: [] };
  return { checkpoint: { path: reference, state: await verifyCheckpoint(reference) }, notes: [] };
}

async function readConfig(files: ModelFiles): Promise<ReturnType<typeof parseHuggingFaceConfig>> {
  const name = files.nameOf('config.json');
  const bytes = await readModelFile(files, 'config.json');
  if (bytes === undefined) {
    throw new TacoError(
      `there is no model in ${files.reference} (config.json is missing); expected a run, a checkpoint, or a Hugging Face folder of BERT`,
      { code: 'not-found', stage: 'model', path: name },
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (error) {
    throw new TacoError(`${name} is not JSON (${messageOf(error)}); fetch or export the model again`, {
      code: 'corrupt',
      stage: 'model',
      path: name,
      cause: error,
    });
  }
  return parseHuggingFaceConfig(json, name);
}

async function readTokenizer(files: ModelFiles): Promise<TokenizerSpec | undefined> {
  if (!files.names.has('tokenizer.json') && !files.names.has('vocab.txt')) return undefined;
  return await readTokenizerFiles(async (name) => {
    const bytes = await readModelFile(files, name);
    return bytes === undefined ? null : { path: files.nameOf(name), bytes };
  }, files.reference);
}

async function readTensors(
  files: ModelFiles,
  weights: readonly string[],
  { isWanted, isForeign, isNotable }: WantedTensors,
): Promise<{ readonly found: ReadonlyMap<string, NamedArray>; readonly notes: readonly string[] }> {
  const found = new Map<string, NamedArray>();
  const unread: string[] = [];
  const converted = new Set<string>();
  for (const weight of weights) {
    const file = await files.open(weight);
    try {
      const { tensors, dtypes } = await decodeSafetensors(file, (name) => {
        const present = presentName(name);
        if (isForeign(present)) throw foreignTensor(files.reference, name);
        if (!isWanted(present) && isNotable(present)) unread.push(name);
        return isWanted(present);
      });
      for (const [name, tensor] of tensors) found.set(presentName(name), tensor);
      for (const dtype of dtypes) if (dtype !== 'F32') converted.add(dtype);
    } finally {
      await file.close();
    }
  }
  const notes: string[] = [];
  if (converted.size > 0) notes.push(`weights were ${[...converted].join(' and ')}, they are float32 now`);
  if (unread.length > 0) notes.push(`not read: ${shorten(unread)}`);
  return { found, notes };
}

function shorten(names: readonly string[]): string {
  return names.length <= 3
    ? names.join(', ')
    : `${names.slice(0, 2).join(', ')} and ${names.length - 2} more`;
}

function foreignTensor(origin: string, name: string): TacoError {
  return new TacoError(
    `${origin} holds ${name}, which its config.json does not describe; the two files are not of one BERT, or ${modelFile} is of another kind of model`,
    { code: 'mismatch', stage: 'model', path: origin },
  );
}
