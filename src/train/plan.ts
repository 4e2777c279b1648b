import { readFileSync } from 'node:fs';
import { type Dataset, openDataset, TacoError, type TokenizerSpec } from '../../pipeline/index.ts';
import { type BertConfig, modelPreset, readBertConfig } from '../model/config.ts';
import { parameterSpecs } from '../model/parameters.ts';
import type { RunIdentity } from './checkpoint-state.ts';
import type { SessionOptions } from './session-types.ts';
import { settingsHash, type TrainConfig, toRecipeFile } from './settings.ts';

/** A run whose parts were found and fit together; nothing was computed or written yet. */
export interface RunPlan {
  readonly config: TrainConfig;
  readonly dataset: Dataset;
  readonly tokenizer: TokenizerSpec;
  readonly model: BertConfig;
  /** Updates times rows per update. */
  readonly numRows: number;
  /** How often the run reads the training split. */
  readonly numEpochs: number;
}

/** torch.optim.AdamW's own defaults, which the original uses. */
const ADAMW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } as const;

/**
 * Opens the dataset, chooses the model and checks that they fit.
 * @throws TacoError in one line that says what does not fit and what to do
 */
export async function planRun(config: TrainConfig): Promise<RunPlan> {
  if (config.precision === 'bf16' || config.precision === 'fp16') {
    throw badConfig(
      `--precision ${config.precision} is not available: the tensorflow and wasm backends compute in f32; use --precision auto or f32`,
    );
  }
  const dataset = await openDataset(config.data);
  if (dataset.numRows('train') === 0) {
    throw badConfig(
      `${config.data} has no training rows; prepare more text, or with a smaller --validation share`,
    );
  }
  const tokenizer = await dataset.readTokenizer();
  const model = await modelOf(config, dataset);
  const numRows = config.maxSteps * config.gradAccum * config.batchSize;
  return { config, dataset, tokenizer, model, numRows, numEpochs: numRows / dataset.numRows('train') };
}

async function modelOf(config: TrainConfig, dataset: Dataset): Promise<BertConfig> {
  const { vocabSize, specialTokenIds, maxSeqLen } = dataset;
  const model =
    config.bertConfig === undefined
      ? modelPreset(config.model, { vocabSize, padTokenId: specialTokenIds.pad })
      : await readBertConfig(config.bertConfig);
  const name = config.bertConfig ?? `model ${config.model}`;
  if (model.vocabSize < vocabSize) {
    throw badConfig(
      `${name} has a vocabulary of ${model.vocabSize}, the tokenizer of ${config.data} has ${vocabSize}; use a configuration with at least that many`,
    );
  }
  if (model.maxPositions < maxSeqLen) {
    throw badConfig(
      `${name} takes rows of at most ${model.maxPositions} tokens, the rows of ${config.data} have ${maxSeqLen}; prepare the data with a smaller --max-seq-len`,
    );
  }
  return model;
}

/** Trainable numbers of a model. */
export function numParameters(model: BertConfig): number {
  return parameterSpecs(model)
    .map(({ shape }) => shape.reduce((product, size) => product * size, 1))
    .reduce((sum, size) => sum + size, 0);
}

/** What `TrainingSession` is made with. */
export function sessionOptionsOf({ config, model }: RunPlan): SessionOptions {
  return {
    model,
    seed: config.seed,
    objective:
      config.mode === 'mlm'
        ? { mode: 'mlm' }
        : { mode: 'taco', temperature: config.tau, tcWeight: config.tcWeight },
    optimizer: { ...ADAMW, weightDecay: config.weightDecay, maxGradNorm: config.maxGradNorm },
  };
}

/** How batches are drawn; the same for training and evaluation but for the seed. */
export function samplingOf({ config, dataset }: RunPlan): {
  readonly folder: string;
  readonly batchSize: number;
  readonly mlmProbability: number;
  readonly taco:
    | {
        readonly numNegatives: number;
        readonly positiveWindow: number;
        readonly windowRule: TrainConfig['windowRule'];
        readonly variant: TrainConfig['variant'];
        readonly excludeSpecial: boolean;
      }
    | undefined;
} {
  return {
    folder: dataset.reference,
    batchSize: config.batchSize,
    mlmProbability: config.mlmProbability,
    taco:
      config.mode === 'mlm'
        ? undefined
        : {
            numNegatives: config.negK,
            positiveWindow: config.posWindow,
            windowRule: config.windowRule,
            variant: config.variant,
            excludeSpecial: config.excludeSpecial,
          },
  };
}

/** What a run learns, wherever it is computed. */
export function identityOf({ config, dataset, tokenizer, model }: RunPlan): RunIdentity {
  return {
    settings: toRecipeFile(config),
    settingsHash: settingsHash(config),
    model: { ...model },
    dataset: {
      fingerprint: dataset.fingerprint,
      maxSeqLen: dataset.maxSeqLen,
      vocabSize: dataset.vocabSize,
      tokenizerSha256: tokenizer.sha256,
    },
    versions: { 'taco-pretraining': packageVersion(), node: process.versions.node },
  };
}

function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { readonly version: string }).version;
}

function badConfig(message: string): TacoError {
  return new TacoError(message, { code: 'bad-config', stage: 'train' });
}
