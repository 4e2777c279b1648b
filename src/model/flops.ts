import type { BertConfig } from './config.ts';

/** Sizes of one training step, that is of all its micro-batches together. */
export interface StepSizes {
  /** B */
  readonly batchSize: number;
  /** L */
  readonly maxSeqLen: number;
  /** M, positions of all rows that get logits over the vocabulary. */
  readonly numMasked: number;
}

/**
 * Floating-point operations of the matrix products of one training step, forward and backward: a product of [n, k] and
 * [k, m] takes 2·n·k·m, and its gradient two more products of that size. Everything else is left out, as is usual for
 * the utilisation of a device: lookups, normalisation, activations, the update; TACO adds a thousandth.
 */
export function trainingStepFlops(config: BertConfig, sizes: StepSizes): number {
  const { hiddenSize: H, intermediateSize: F, vocabSize: V, numLayers } = config;
  const { batchSize, maxSeqLen: L, numMasked: M } = sizes;
  const N = batchSize * L;
  const queriesKeysValues = 2 * N * H * 3 * H;
  // Scores and context, over all heads together: their widths add up to H.
  const attention = 2 * (2 * N * L * H);
  const attentionOutput = 2 * N * H * H;
  const feedForward = 2 * (2 * N * H * F);
  const layer = queriesKeysValues + attention + attentionOutput + feedForward;
  const head = 2 * M * H * H + 2 * M * H * V;
  return 3 * (numLayers * layer + head);
}
