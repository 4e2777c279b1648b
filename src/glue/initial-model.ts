import { createHash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import type { SourceContext, TokenizerSpec } from '../../pipeline/index.ts';
import { importModel, tokenizerOf } from '../export/index.ts';
import type { BertConfig } from '../model/config.ts';
import { stepOfName } from '../train/checkpoint.ts';
import type { NamedArray } from '../train/session-types.ts';

/** A pretrained model, read into memory. */
export interface InitialModel {
  /** What names it: the folder of a checkpoint or of another model, or `hub:org/name[@revision]`. */
  readonly name: string;
  /** SHA-256 of its parameters, in hexadecimal: the same wherever it lies. */
  readonly id: string;
  /** Updates of its pretraining; 0 where that is not known. */
  readonly step: number;
  readonly config: BertConfig;
  /** Those of the encoder and, where the model has one, of its pooler, under transformers' names. */
  readonly tensors: ReadonlyMap<string, NamedArray>;
  readonly tokenizer: TokenizerSpec;
  /** What the user should know: damaged checkpoints that were passed over, tensors that are not read. */
  readonly notes: readonly string[];
}

/**
 * Reads what a fine-tuning starts from. A classifier is not read: it belongs to the task that it was trained on.
 * @param reference as `importModel` takes it: a run, a checkpoint, a folder, or `hub:org/name[@revision]`
 * @throws TacoError as `importModel`; `not-found` when it has no tokenizer
 */
export async function readInitialModel(reference: string, context: SourceContext): Promise<InitialModel> {
  const model = await importModel(reference, { context, head: 'pooler' });
  const { checkpoint, config, tensors, notes } = model;
  return {
    name: checkpoint?.path ?? reference,
    id: idOf(tensors),
    step: checkpoint?.state.progress.step ?? 0,
    config,
    tensors,
    tokenizer: tokenizerOf(model),
    notes,
  };
}

/**
 * Where results of a model belong: beside a run's checkpoints, so that each checkpoint has its own; beside the folder
 * of any other model; those of a model of the Hub in `runs/glue`.
 * @param modelName `InitialModel.name`
 */
export function resultsFolderOf(modelName: string): string {
  if (modelName.startsWith('hub:')) return join('runs', 'glue', modelName.slice(4).replaceAll('/', '--'));
  const last = basename(modelName);
  return stepOfName(last) === undefined
    ? `${modelName.replace(/[/\\]+$/, '')}-glue`
    : join(dirname(modelName), 'glue', last);
}

function idOf(tensors: ReadonlyMap<string, NamedArray>): string {
  const hash = createHash('sha256');
  for (const [name, { shape, values }] of [...tensors].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`${name} ${shape.join(',')}\n`).update(values);
  }
  return hash.digest('hex');
}
