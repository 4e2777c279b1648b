import {
  type Mixture,
  openMixture,
  parseDataSpecs,
  TacoError,
  type TokenizerSpec,
  type WaitNotice,
} from '../../pipeline/index.ts';
import type { Precision } from '../engine/index.ts';
import { type BertConfig, modelPreset, readBertConfig } from '../model/config.ts';
import { trainingStepFlops } from '../model/flops.ts';
import type { RunIdentity } from './checkpoint-state.ts';
import { codeVersions } from './code-version.ts';
import type { SessionOptions } from './session-types.ts';
import { settingsHash, type TrainConfig, toRecipeFile } from './settings.ts';

/** A run whose parts were found and fit together; nothing was computed or written yet. */
export interface RunPlan {
  readonly config: TrainConfig;
  readonly mixture: Mixture;
  readonly tokenizer: TokenizerSpec;
  readonly model: BertConfig;
  /** How often the run reads the training split of each dataset, from its beginning to its end. */
  readonly numEpochs: readonly number[];
  /** What the user should know before it starts. */
  readonly notes: readonly string[];
}

/** torch.optim.AdamW's own defaults, which the original uses. */
const ADAMW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } as const;

/**
 * Opens the datasets, chooses the model and checks that they fit.
 * @param onWait hears of pauses in reading from the Hub, in evaluations too
 * @throws TacoError in one line that says what does not fit and what to do
 */
export async function planRun(config: TrainConfig, onWait?: (notice: WaitNotice) => void): Promise<RunPlan> {
  const mixture = await openMixture(config.data, onWait);
  for (const { dataset, reference } of mixture.parts) {
    if (dataset.numRows('train') > 0) continue;
    throw badConfig(
      `${reference} has no training rows; prepare more text, or with a smaller --validation share`,
    );
  }
  const tokenizer = await mixture.parts[0]!.dataset.readTokenizer();
  const model = await modelOf(config, mixture);
  const numRows = config.maxSteps * config.gradAccum * config.batchSize;
  const numEpochs = sharesOf(mixture).map(
    (share, index) => (share * numRows) / mixture.parts[index]!.dataset.numRows('train'),
  );
  return { config, mixture, tokenizer, model, numEpochs, notes: repetitionNotes(config, mixture) };
}

/** Each dataset's part of the rows, from 0 to 1. */
export function sharesOf({ parts }: Mixture): readonly number[] {
  const total = parts.reduce((sum, { weight }) => sum + weight, 0);
  return parts.map(({ weight }) => weight / total);
}

/** Nothing breaks when a batch is larger than its dataset, but it is hardly what anybody wants. */
function repetitionNotes({ batchSize }: TrainConfig, mixture: Mixture): readonly string[] {
  const shares = sharesOf(mixture);
  return mixture.parts.flatMap(({ dataset, reference }, index) => {
    const numRows = dataset.numRows('train');
    const taken = Math.floor(batchSize * shares[index]!);
    if (taken <= numRows) return [];
    return [
      `a micro-batch takes ${taken} rows of ${reference}, which has ${numRows} for training: rows come several times in one batch; prepare more text, or use a smaller --batch-size`,
    ];
  });
}

async function modelOf(config: TrainConfig, mixture: Mixture): Promise<BertConfig> {
  const { vocabSize, specialTokenIds, maxSeqLen } = mixture;
  const { reference } = mixture.parts[0]!;
  const model =
    config.bertConfig === undefined
      ? modelPreset(config.model, { vocabSize, padTokenId: specialTokenIds.pad })
      : await readBertConfig(config.bertConfig);
  const name = config.bertConfig ?? `model ${config.model}`;
  if (model.vocabSize < vocabSize) {
    throw badConfig(
      `${name} has a vocabulary of ${model.vocabSize}, the tokenizer of ${reference} has ${vocabSize}; use a configuration with at least that many`,
    );
  }
  if (model.maxPositions < maxSeqLen) {
    throw badConfig(
      `${name} takes rows of at most ${model.maxPositions} tokens, the rows of ${reference} have ${maxSeqLen}; prepare the data with a smaller --max-seq-len`,
    );
  }
  return model;
}

/** Floating-point operations of one update's matrix products, with as many masked positions as are to be expected. */
export function flopsPerUpdate({ config, mixture, model }: RunPlan): number {
  const { maxSeqLen } = mixture;
  const batchSize = config.batchSize * config.gradAccum;
  const numMasked = config.mlmProbability * batchSize * maxSeqLen;
  return trainingStepFlops(model, { batchSize, maxSeqLen, numMasked });
}

/** What `TrainingSession` is made with. */
export function sessionOptionsOf({ config, model }: RunPlan, precision: Precision): SessionOptions {
  return {
    model,
    precision,
    seed: config.seed,
    objective:
      config.mode === 'mlm'
        ? { mode: 'mlm' }
        : { mode: 'taco', temperature: config.tau, tcWeight: config.tcWeight },
    optimizer: { ...ADAMW, weightDecay: config.weightDecay, maxGradNorm: config.maxGradNorm },
  };
}

/** How batches are drawn; the same for training and evaluation but for the seed. */
export function samplingOf({ config }: RunPlan): {
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

/** `--data` as it was found: a run stays with the commits that it began with, however their branches move. */
export function pinnedData({ config, mixture }: RunPlan): readonly string[] {
  return parseDataSpecs(config.data).map(({ weight }, index) => {
    const { reference } = mixture.parts[index]!.dataset;
    return weight === undefined ? reference : `${weight}:${reference}`;
  });
}

/** What a run learns, wherever it is computed. */
export function identityOf({ config, mixture, tokenizer, model }: RunPlan): RunIdentity {
  return {
    settings: toRecipeFile(config),
    settingsHash: settingsHash(config),
    model: { ...model },
    data: {
      maxSeqLen: mixture.maxSeqLen,
      vocabSize: mixture.vocabSize,
      tokenizerSha256: tokenizer.sha256,
      datasets: mixture.parts.map(({ reference, dataset: { fingerprint }, weight }) => ({
        reference,
        fingerprint,
        weight,
      })),
    },
    versions: codeVersions(),
  };
}

function badConfig(message: string): TacoError {
  return new TacoError(message, { code: 'bad-config', stage: 'train' });
}
