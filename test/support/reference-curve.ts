import { createHash } from 'node:crypto';
import type { Batch } from '../../pipeline/index.ts';
import { createPrepareConfig } from '../../pipeline/config.ts';
import { BUILTIN_TOKENIZER } from '../../pipeline/text/builtin-vocabulary.ts';
import { modelPreset, toHuggingFaceConfig } from '../../src/model/config.ts';
import { learningRateAt } from '../../src/optim/schedule.ts';
import {
  type NamedArray,
  OPTIMIZER_STATE,
  type SessionOptions,
  type StepMetrics,
  type TrainingSession,
} from '../../src/train/session.ts';
import { takeBatches } from './batch-stream.ts';
import { prepareToEnd } from './preparations.ts';

const NUM_STEPS = 200;

/** What test/fixtures/train is a curve of: everything that decides it but rows, masks, pairs and initial weights. */
export const referenceRun = {
  numSteps: NUM_STEPS,
  batchSize: 8,
  maxSeqLen: 48,
  schedule: { peak: 1e-4, warmupSteps: 20, maxSteps: NUM_STEPS },
  pairs: { numNegatives: 50, positiveWindow: 5 },
  session: {
    model: modelPreset('small', { hiddenDropout: 0, attentionDropout: 0 }),
    seed: 2022,
    objective: { mode: 'taco', temperature: 0.07, tcWeight: 1 },
    optimizer: { weightDecay: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
  },
} as const satisfies Readonly<Record<string, unknown>> & { readonly session: SessionOptions };

/** The numbers of the run as JSON, the model's under their names in transformers. */
export function referenceSettings() {
  const { session, ...run } = referenceRun;
  return { ...run, ...session, model: toHuggingFaceConfig(session.model) };
}

/** The batches of the run: rows of the built-in sample, prepared into a folder. */
export async function referenceBatches(folder: string): Promise<readonly Batch[]> {
  const { batchSize, maxSeqLen, pairs, session, numSteps } = referenceRun;
  await prepareToEnd(
    createPrepareConfig({
      sources: ['sample'],
      tokenizer: BUILTIN_TOKENIZER,
      maxSeqLen,
      workers: 0,
      out: folder,
    }),
  );
  return takeBatches({ data: [folder], batchSize, seed: session.seed, taco: pairs }, numSteps);
}

/** The integers of a batch by name. There is no padding in the sample's rows but in the last. */
export function integersOf(batch: Batch): ReadonlyMap<string, Int32Array> {
  const { inputIds, attentionMask, maskedPositions, maskedLabels, pairs } = batch;
  if (attentionMask !== undefined || pairs === undefined) {
    throw new RangeError('got a batch with padding or without pairs, expected one of whole rows with pairs');
  }
  return new Map(Object.entries({ inputIds, maskedPositions, maskedLabels, ...pairs }));
}

/** The parameters of a session under transformers' names. */
export function parametersOf(session: TrainingSession): ReadonlyMap<string, NamedArray> {
  const optimizerNames = Object.values(OPTIMIZER_STATE);
  return new Map(
    [...session.exportState()].filter(([name]) => !optimizerNames.some((start) => name.startsWith(start))),
  );
}

/** SHA-256 of what the curve follows from: a fixture of other inputs is no reference. */
export interface InputHashes {
  readonly batches: string;
  readonly weights: string;
}

export function hashesOf(
  batches: readonly Batch[],
  parameters: ReadonlyMap<string, NamedArray>,
): InputHashes {
  const ofBatches = createHash('sha256');
  for (const batch of batches) {
    for (const [name, values] of integersOf(batch)) ofBatches.update(name).update(values);
  }
  const ofWeights = createHash('sha256');
  for (const [name, { values }] of parameters) ofWeights.update(name).update(values);
  return { batches: ofBatches.digest('hex'), weights: ofWeights.digest('hex') };
}

/** One update after another, from step 0. */
export function* updatesOf(session: TrainingSession, batches: readonly Batch[]): Generator<StepMetrics> {
  for (const [step, batch] of batches.entries()) {
    yield session.trainStep([batch], { learningRate: learningRateAt(step, referenceRun.schedule), step });
  }
}
