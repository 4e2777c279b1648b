import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createTokenizer } from '../../pipeline/index.ts';
import { builtinTokenizer } from '../../pipeline/text/builtin-vocabulary.ts';
import { assembleBatch, type GlueBatch } from '../../src/glue/batches.ts';
import { encodeExamples } from '../../src/glue/encode.ts';
import type { GlueExample } from '../../src/glue/example.ts';
import { FinetuneSession, type FinetuneStepMetrics } from '../../src/glue/finetune-session.ts';
import { modelPreset, toHuggingFaceConfig } from '../../src/model/config.ts';
import { learningRateAt } from '../../src/optim/schedule.ts';
import { writeSafetensors } from '../../src/train/safetensors.ts';
import type { NamedArray } from '../../src/train/session-types.ts';
import { randomParameters } from './random-model.ts';
import { sentencePairs } from './sentence-pairs.ts';

const NUM_STEPS = 30;

/** What test/fixtures/finetune holds curves of: everything that decides them but rows and initial weights. */
export const finetuneRun = {
  numSteps: NUM_STEPS,
  batchSize: 16,
  /** Examples of the last batch: the other rows only fill it up. */
  numInLast: 11,
  maxSeqLen: 128,
  schedule: { peak: 5e-4, warmupSteps: 5, maxSteps: NUM_STEPS },
  model: modelPreset('tiny', { hiddenDropout: 0, attentionDropout: 0 }),
  seed: 123,
  optimizer: { weightDecay: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
} as const;

/** Kinds of labels, by the outputs that a head has for them. */
export const curveKinds = { classes: 2, score: 1 } as const;
export type CurveKind = keyof typeof curveKinds;

/** The numbers of the runs as JSON, the model's under their names in transformers. */
export function finetuneRunAsJson() {
  return { ...finetuneRun, model: toHuggingFaceConfig(finetuneRun.model) };
}

export function curveSession(kind: CurveKind): FinetuneSession {
  const { model, seed, optimizer } = finetuneRun;
  return new FinetuneSession(
    { model, seed, optimizer, numOutputs: curveKinds[kind] },
    randomParameters(model, seed),
  );
}

/** Examples of a run. */
const NUM_EXAMPLES = (NUM_STEPS - 1) * finetuneRun.batchSize + finetuneRun.numInLast;

/**
 * The batches of a run, in the order of the examples.
 * @param given as many as a run has at least; made-up pairs by default
 */
export function curveBatches(kind: CurveKind, given?: readonly GlueExample[]): readonly GlueBatch[] {
  const { batchSize, maxSeqLen, numSteps, model, seed } = finetuneRun;
  const examples = (given ?? sentencePairs(NUM_EXAMPLES, seed, kind)).slice(0, NUM_EXAMPLES);
  const encoded = encodeExamples(examples, createTokenizer(builtinTokenizer()), maxSeqLen);
  return Array.from({ length: numSteps }, (_, step) => {
    const first = step * batchSize;
    const numRows = Math.min(batchSize, examples.length - first);
    const rows = Uint32Array.from({ length: numRows }, (_row, at) => first + at);
    return assembleBatch(encoded, { rows, length: maxSeqLen }, batchSize, model.padTokenId);
  });
}

/** SHA-256 of what a curve follows from: a fixture of other inputs is no reference. */
export interface CurveHashes {
  readonly batches: string;
  readonly weights: string;
}

export function curveHashes(
  batches: readonly GlueBatch[],
  weights: ReadonlyMap<string, NamedArray>,
): CurveHashes {
  const ofBatches = createHash('sha256');
  for (const { ids_N, attentionMask_N, typeIds_N, labels_B, numExamples } of batches) {
    ofBatches.update(`${numExamples}`);
    for (const values of [ids_N, attentionMask_N, typeIds_N, labels_B]) ofBatches.update(values);
  }
  const ofWeights = createHash('sha256');
  for (const [name, { values }] of weights) ofWeights.update(name).update(values);
  return { batches: ofBatches.digest('hex'), weights: ofWeights.digest('hex') };
}

/** One update after another, from step 0. */
export function* curveUpdates(
  session: FinetuneSession,
  batches: readonly GlueBatch[],
): Generator<FinetuneStepMetrics> {
  for (const [step, batch] of batches.entries()) {
    yield session.trainStep(batch, { learningRate: learningRateAt(step, finetuneRun.schedule), step });
  }
}

/** Writes what test/fixtures/finetune/make.py reads: weights, batches and settings of some kinds of runs. */
export async function writeCurveInputs(
  folder: string,
  runs: ReadonlyMap<CurveKind, readonly GlueBatch[]>,
): Promise<void> {
  const inputs: Partial<Record<CurveKind, CurveHashes>> = {};
  for (const [kind, batches] of runs) {
    const session = curveSession(kind);
    const weights = session.exportParameters();
    session.dispose();
    await writeSafetensors(join(folder, `${kind}-weights.safetensors`), weights);
    const arrays = new Map<string, NamedArray>();
    for (const [step, batch] of batches.entries()) {
      const { length, numExamples, labels_B } = batch;
      const rows = {
        input_ids: batch.ids_N,
        attention_mask: batch.attentionMask_N,
        token_type_ids: batch.typeIds_N,
      };
      for (const [name, values] of Object.entries(rows)) {
        // The numbers are below 2^24: float32 holds them exactly.
        const real = Float32Array.from(values.subarray(0, numExamples * length));
        arrays.set(`${step}.${name}`, { shape: [numExamples, length], values: real });
      }
      const labels = Float32Array.from(labels_B.subarray(0, numExamples));
      arrays.set(`${step}.labels`, { shape: [numExamples], values: labels });
    }
    await writeSafetensors(join(folder, `${kind}-batches.safetensors`), arrays);
    inputs[kind] = curveHashes(batches, weights);
  }
  await writeFile(join(folder, 'settings.json'), JSON.stringify({ settings: finetuneRunAsJson(), inputs }));
}
