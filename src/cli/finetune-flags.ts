import { choosePrecision, openBackend } from '../engine/index.ts';
import {
  type FinetuneSettings,
  finetuneSettings,
  GLUE_REPOSITORY,
  openGlue,
  readInitialModel,
  resultsFolderOf,
} from '../glue/index.ts';
import { type Flag, wholeFlag } from './command.ts';
import { backendFlag, backendOf, modelContext, writeNotes } from './model-flags.ts';
import type { Progress } from './progress.ts';

/** Flags of every fine-tuning. */
export const finetuneFlags = {
  data: {
    type: 'string',
    placeholder: 'folder or org/name',
    help: `GLUE's official files, or a dataset of the Hub laid out like the default, org/name[@revision] (default: ${GLUE_REPOSITORY})`,
  },
  'max-seq-len': { type: 'number', help: 'tokens of an example, what is longer is cut (default: 128)' },
  'batch-size': { type: 'number', help: 'examples per update (default: 16)' },
  lr: { type: 'number', help: 'peak learning rate (default: 5e-5)' },
  epochs: { type: 'number', help: 'times that the training examples are seen (default: 4)' },
  'warmup-steps': { type: 'number', help: 'updates of linear warm-up (default: 100)' },
  'weight-decay': { type: 'number', help: 'not on biases and LayerNorm (default: 0)' },
  seed: {
    type: 'number',
    help: 'decides the weights of the head, the order of the examples and dropout (default: 123)',
  },
  backend: backendFlag,
  precision: {
    type: 'string',
    placeholder: 'auto|f32|bf16|fp16',
    help: 'type of matrix products (default: f32)',
  },
} as const satisfies Readonly<Record<string, Flag>>;

interface FinetuneFlagValues {
  readonly data?: string;
  readonly 'max-seq-len'?: number;
  readonly 'batch-size'?: number;
  readonly lr?: number;
  readonly epochs?: number;
  readonly 'warmup-steps'?: number;
  readonly 'weight-decay'?: number;
  readonly seed?: number;
  readonly backend?: string;
  readonly precision?: string;
}

const DEFAULT_SEED = 123;

/**
 * Checks the flags and opens backend and data; models are opened one by one, for several do not fit into memory.
 * @throws TacoError one line
 */
export async function openFinetuning(
  flags: FinetuneFlagValues,
  { progress, signal }: { readonly progress: Progress; readonly signal: AbortSignal },
) {
  const { data: dataReference = GLUE_REPOSITORY, seed, backend: backendName, ...given } = flags;
  const settings: FinetuneSettings = finetuneSettings(given);
  const firstSeed = wholeFlag('seed', seed ?? DEFAULT_SEED, 0);
  const backend = await openBackend(backendOf(backendName));
  const precision = choosePrecision(settings.precision, backend);
  progress.message(`${backend.name} ${backend.version} on ${backend.device}, ${precision}`);
  const context = modelContext(signal);
  const data = await openGlue(dataReference, context);
  const open = async (reference: string) => {
    const model = await readInitialModel(reference, context);
    writeNotes(model.notes);
    return { model, folder: resultsFolderOf(model.name) };
  };
  const check = async (reference: string): Promise<void> => {
    await readInitialModel(reference, context);
  };
  return { settings, firstSeed, precision, data, open, check };
}
