import type { Batch } from '../../pipeline/index.ts';
import type { StepMetrics } from './session-types.ts';
import { LOSS_NAMES } from './step.ts';

/** Losses of one micro-batch as numbers. */
export type LossValues = Readonly<Record<(typeof LOSS_NAMES)[number], number>>;

/** Names the losses of a micro-batch, given in the order of `LOSS_NAMES`. */
export function lossValues(losses: ArrayLike<number>): LossValues {
  const [total, mlmLoss, mlmCorrect, tcLoss, tcCorrect] = LOSS_NAMES.map((_, i) => losses[i]!);
  return {
    total: total!,
    mlmLoss: mlmLoss!,
    mlmCorrect: mlmCorrect!,
    tcLoss: tcLoss!,
    tcCorrect: tcCorrect!,
  };
}

/** Means over the micro-batches; accuracies are over all positions and anchors of the step. */
export function stepMetrics(
  microBatches: readonly Batch[],
  losses: readonly LossValues[],
  update: { readonly gradNorm: number; readonly skipped: boolean },
  mode: 'mlm' | 'taco',
): StepMetrics {
  const mean = (name: 'total' | 'mlmLoss' | 'tcLoss') =>
    losses.reduce((sum, values) => sum + values[name], 0) / losses.length;
  const share = (name: 'mlmCorrect' | 'tcCorrect', total: number) =>
    losses.reduce((sum, values) => sum + values[name], 0) / Math.max(1, total);
  const numMasked = microBatches.reduce((sum, batch) => sum + batch.maskedPositions.length, 0);
  const numAnchors = microBatches.reduce((sum, batch) => sum + (batch.pairs?.anchors.length ?? 0), 0);
  return {
    loss: mean('total'),
    mlmLoss: mean('mlmLoss'),
    mlmAccuracy: share('mlmCorrect', numMasked),
    ...(mode === 'taco' ? { tcLoss: mean('tcLoss'), tcAccuracy: share('tcCorrect', numAnchors) } : {}),
    ...update,
    numTokens: microBatches.reduce((sum, batch) => sum + numTokens(batch), 0),
  };
}

function numTokens({ attentionMask, batchSize, maxSeqLen }: Batch): number {
  return attentionMask?.reduce((sum, isToken) => sum + isToken, 0) ?? batchSize * maxSeqLen;
}
