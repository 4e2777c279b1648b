import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Batch } from '../../pipeline/index.ts';
import type { EvaluationSums } from './session-types.ts';

/** Means over the validation split. */
export interface Evaluation {
  /** Natural logarithm. */
  readonly mlmLoss: number;
  /** e to the MLM loss. */
  readonly perplexity: number;
  /** Share of masked positions predicted right, in [0, 1]. */
  readonly mlmAccuracy: number;
  /** Present when there were contrastive pairs. */
  readonly tcLoss?: number;
  /** Share of anchors whose positive is nearer than each of its negatives, in [0, 1]. */
  readonly tcAccuracy?: number;
  readonly numRows: number;
  readonly numMasked: number;
}

export interface EvaluateOptions {
  readonly session: { evaluate(batch: Batch): EvaluationSums };
  /** The same batches with the same masks and pairs every time, so that evaluations compare. */
  readonly batches: AsyncIterable<Batch>;
  /** An interrupted evaluation has no result. */
  readonly signal: AbortSignal;
}

/**
 * Evaluates the model on all batches; every masked token and every anchor counts the same, whatever its batch.
 * @returns undefined when interrupted, or when there was not one masked token
 */
export async function evaluate({
  session,
  batches,
  signal,
}: EvaluateOptions): Promise<Evaluation | undefined> {
  let numRows = 0;
  let total: EvaluationSums = {
    mlmLossSum: 0,
    mlmCorrect: 0,
    numMasked: 0,
    tcLossSum: 0,
    tcCorrect: 0,
    numAnchors: 0,
  };
  for await (const batch of batches) {
    // The step is synchronous: without a turn of the event loop no signal would ever arrive.
    await nextTurn();
    if (signal.aborted) return undefined;
    total = add(total, session.evaluate(batch));
    numRows += batch.batchSize;
  }
  return total.numMasked === 0 ? undefined : meansOf(total, numRows);
}

function add(a: EvaluationSums, b: EvaluationSums): EvaluationSums {
  return {
    mlmLossSum: a.mlmLossSum + b.mlmLossSum,
    mlmCorrect: a.mlmCorrect + b.mlmCorrect,
    numMasked: a.numMasked + b.numMasked,
    tcLossSum: a.tcLossSum + b.tcLossSum,
    tcCorrect: a.tcCorrect + b.tcCorrect,
    numAnchors: a.numAnchors + b.numAnchors,
  };
}

function meansOf(sums: EvaluationSums, numRows: number): Evaluation {
  const mlmLoss = sums.mlmLossSum / sums.numMasked;
  return {
    mlmLoss,
    perplexity: Math.exp(mlmLoss),
    mlmAccuracy: sums.mlmCorrect / sums.numMasked,
    ...(sums.numAnchors > 0 && {
      tcLoss: sums.tcLossSum / sums.numAnchors,
      tcAccuracy: sums.tcCorrect / sums.numAnchors,
    }),
    numRows,
    numMasked: sums.numMasked,
  };
}
