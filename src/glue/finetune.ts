import { setImmediate } from 'node:timers/promises';
import { TacoError } from '../../pipeline/index.ts';
import type { Precision } from '../engine/index.ts';
import type { BertConfig } from '../model/config.ts';
import { learningRateAt } from '../optim/schedule.ts';
import type { NamedArray } from '../train/session-types.ts';
import { assembleBatch, paddedLengthsUpTo, planEpoch } from './batches.ts';
import { lengthsOf } from './encode.ts';
import { FinetuneSession, type FinetuneStepMetrics } from './finetune-session.ts';
import { computeMetrics, type Metrics, predictionsOf } from './metrics.ts';
import { type EpochEvaluation, epochEvaluation } from './results.ts';
import type { FinetuneSettings } from './settings.ts';
import { type SubmissionFile, submissionFile } from './submission.ts';
import type { EncodedSplit, TaskData } from './task-data.ts';
import { type GlueSplitName, numOutputsOf } from './tasks.ts';

/** What BERT is fine-tuned with everywhere (Devlin et al. 2019, and transformers' `Trainer`). */
const OPTIMIZER = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 } as const;
/** Updates without a finite loss or gradient, one after another, that end a fine-tuning. */
const MAX_SKIPPED = 10;

export interface FinetuneOptions {
  readonly model: BertConfig;
  /** Parameters under transformers' names. */
  readonly pretrained: ReadonlyMap<string, NamedArray>;
  readonly data: TaskData;
  readonly settings: FinetuneSettings;
  readonly precision: Precision;
  /** Decides the head's weights, the order of the examples and dropout. */
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly report: (event: FinetuneEvent) => void;
}

export type FinetuneEvent =
  | {
      readonly kind: 'update';
      /** Updates made, this one included. */
      readonly step: number;
      readonly numSteps: number;
      readonly metrics: FinetuneStepMetrics;
    }
  | {
      readonly kind: 'prediction';
      readonly split: GlueSplitName;
      /** Examples that are predicted. */
      readonly done: number;
      readonly total: number;
    }
  | { readonly kind: 'evaluation'; readonly evaluation: EpochEvaluation; readonly numEpochs: number };

export interface FinetuneOutcome {
  /** One for each epoch. */
  readonly epochs: readonly EpochEvaluation[];
  /** Predictions of the model after the last epoch, for each test split that is there. */
  readonly predictions: readonly SubmissionFile[];
}

/**
 * Fine-tunes a pretrained model on a task: all epochs, each with an evaluation on every validation split.
 * @throws TacoError `mismatch` where model and settings do not fit, `diverged`; the signal's reason when it is aborted
 */
export async function finetune(options: FinetuneOptions): Promise<FinetuneOutcome> {
  const { model, pretrained, data, settings, precision, seed, signal, report } = options;
  const { task } = data;
  const { epochs: numEpochs, lr, 'batch-size': batchSize, 'max-seq-len': maxSeqLen } = settings;
  checkLength(maxSeqLen, model);
  const optimizer = { ...OPTIMIZER, weightDecay: settings['weight-decay'] };
  const session = new FinetuneSession(
    { model, numOutputs: numOutputsOf(task), seed, optimizer, precision },
    pretrained,
  );
  try {
    const order = { batchSize, paddedLengths: [maxSeqLen], mode: 'plain', seed } as const;
    const lengths = lengthsOf(data.train);
    const numSteps = numEpochs * Math.ceil(lengths.length / batchSize);
    const schedule = { peak: lr, warmupSteps: settings['warmup-steps'], maxSteps: numSteps };
    const evaluations: EpochEvaluation[] = [];
    let step = 0;
    let numSkipped = 0;
    for (let epoch = 1; epoch <= numEpochs; epoch += 1) {
      for (const planned of planEpoch(lengths, { ...order, epoch })) {
        await pause(signal);
        const batch = assembleBatch(data.train, planned, batchSize, model.padTokenId);
        const metrics = session.trainStep(batch, { learningRate: learningRateAt(step, schedule), step });
        step += 1;
        numSkipped = metrics.skipped ? numSkipped + 1 : 0;
        if (numSkipped === MAX_SKIPPED) throw diverged(step);
        report({ kind: 'update', step, numSteps, metrics });
      }
      const metrics: Record<string, Metrics> = {};
      for (const validation of data.validations) {
        const { split, encoded } = validation;
        const outputs = await predictAll(session, validation, options);
        metrics[split.name] = computeMetrics(task, predictionsOf(task, outputs), encoded.labels);
      }
      const evaluation = epochEvaluation(epoch, step, metrics);
      evaluations.push(evaluation);
      report({ kind: 'evaluation', evaluation, numEpochs });
    }
    const predictions: SubmissionFile[] = [];
    for (const test of data.tests) {
      const { split, encoded } = test;
      const outputs = await predictAll(session, test, options);
      predictions.push(submissionFile(task, split, encoded.indexes, predictionsOf(task, outputs)));
    }
    return { epochs: evaluations, predictions };
  } finally {
    session.dispose();
  }
}

/** Outputs for all examples, in their order. */
async function predictAll(
  session: FinetuneSession,
  { split, encoded }: EncodedSplit,
  { model, data, settings, signal, report }: FinetuneOptions,
): Promise<Float32Array> {
  const numOutputs = numOutputsOf(data.task);
  const outputs = new Float32Array(encoded.numExamples * numOutputs);
  const { 'batch-size': batchSize, 'max-seq-len': maxSeqLen } = settings;
  const paddedLengths = paddedLengthsUpTo(maxSeqLen);
  const order = { batchSize, paddedLengths, mode: 'bucketed', seed: 0, epoch: 0 } as const;
  let done = 0;
  for (const planned of planEpoch(lengthsOf(encoded), order)) {
    await pause(signal);
    const batch = assembleBatch(encoded, planned, batchSize, model.padTokenId);
    const some = session.predict(batch);
    for (const [at, row] of planned.rows.entries()) {
      outputs.set(some.subarray(at * numOutputs, (at + 1) * numOutputs), row * numOutputs);
    }
    done += planned.rows.length;
    report({ kind: 'prediction', split: split.name, done, total: encoded.numExamples });
  }
  return outputs;
}

/** Steps block the thread: between them signals arrive. */
async function pause(signal: AbortSignal): Promise<void> {
  await setImmediate();
  signal.throwIfAborted();
}

function checkLength(maxSeqLen: number, { maxPositions }: BertConfig): void {
  if (maxSeqLen <= maxPositions) return;
  throw new TacoError(
    `--max-seq-len is ${maxSeqLen}, the model has positions for ${maxPositions}; use at most that`,
    { code: 'mismatch', stage: 'glue' },
  );
}

function diverged(step: number): TacoError {
  return new TacoError(
    `loss or gradient of ${MAX_SKIPPED} updates in a row, up to update ${step}, were not finite; use a smaller --lr, or --precision f32`,
    { code: 'diverged', stage: 'glue' },
  );
}
