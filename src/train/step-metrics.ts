import * as tf from '@tensorflow/tfjs-core';
import type { Batch } from '../../pipeline/index.ts';
import type { StepMetrics } from './session-types.ts';
import { LOSS_NAMES } from './step.ts';

/** Losses of one micro-batch as numbers. */
export type LossValues = Readonly<Record<(typeof LOSS_NAMES)[number], number>>;

/** Runs a function and frees every tensor it made; its result holds none. */
export function inScope<T>(run: () => T): T {
  tf.engine().startScope();
  try {
    return run();
  } finally {
    tf.engine().endScope();
  }
}

/** Reads the losses of all micro-batches back at once. */
export function readLosses(losses: readonly tf.Tensor1D[]): LossValues[] {
  const values = tf.tidy(() => tf.concat([...losses]).dataSync<'float32'>());
  return losses.map((_, row) => {
    const value = (name: (typeof LOSS_NAMES)[number]) =>
      values[row * LOSS_NAMES.length + LOSS_NAMES.indexOf(name)]!;
    return {
      total: value('total'),
      mlmLoss: value('mlmLoss'),
      mlmCorrect: value('mlmCorrect'),
      tcLoss: value('tcLoss'),
      tcCorrect: value('tcCorrect'),
    };
  });
}

/** Means over the micro-batches; accuracies are over all positions and anchors of the step. */
export function stepMetrics(
  microBatches: readonly Batch[],
  losses: readonly LossValues[],
  gradNorm: number,
  mode: 'mlm' | 'taco',
): StepMetrics {
  const mean = (name: 'total' | 'mlmLoss' | 'tcLoss') =>
    losses.reduce((sum, values) => sum + values[name], 0) / losses.length;
  const share = (name: 'mlmCorrect' | 'tcCorrect', total: number) =>
    losses.reduce((sum, values) => sum + values[name], 0) / Math.max(1, total);
  const numMasked = microBatches.reduce((sum, batch) => sum + batch.maskedPositions.length, 0);
  const numAnchors = microBatches.reduce((sum, batch) => sum + (batch.pairs?.anchors.length ?? 0), 0);
  const loss = mean('total');
  return {
    loss,
    mlmLoss: mean('mlmLoss'),
    mlmAccuracy: share('mlmCorrect', numMasked),
    ...(mode === 'taco' ? { tcLoss: mean('tcLoss'), tcAccuracy: share('tcCorrect', numAnchors) } : {}),
    gradNorm,
    skipped: !Number.isFinite(loss) || !Number.isFinite(gradNorm),
    numTokens: microBatches.reduce((sum, batch) => sum + numTokens(batch), 0),
  };
}

function numTokens({ attentionMask, batchSize, maxSeqLen }: Batch): number {
  return attentionMask?.reduce((sum, isToken) => sum + isToken, 0) ?? batchSize * maxSeqLen;
}
