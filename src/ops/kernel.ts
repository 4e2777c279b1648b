import * as tf from '@tensorflow/tfjs-core';

/**
 * Kernels of this project's own, beside those of tfjs. `Required` ones exist on every backend that trains
 * (src/engine/kernels-*.ts). A `fused` one does in one pass what its operation in this folder otherwise
 * composes of tfjs kernels; a backend may lack it.
 */
export const KERNELS = {
  /** required: `{x, seed: int32 [2]}`, `{rate, site}` → `[y]`; see dropout.ts. */
  dropout: 'StatelessDropout',
  /** required: `{logits: [M, V], labels: int32 [M]}` → `[losses [M], hits [M], dLogits [M, V]]`; see cross-entropy.ts. */
  crossEntropy: 'SparseCrossEntropyWithHits',
  /** fused: `{x}` → `[y]`. */
  gelu: 'GeluErf',
  /** fused: `{dy, x}` → `[dx]`. */
  geluGradient: 'GeluErfGrad',
  /** fused: `{x: [N, H], gain: [H], bias: [H]}`, `{epsilon}` → `[y [N, H], normalised [N, H], rstd [N, 1]]`. */
  layerNorm: 'LayerNorm',
  /** fused: `{dy, normalised, rstd, gain}` → `[dx [N, H], dGain [H], dBias [H]]`. */
  layerNormGradient: 'LayerNormGrad',
  /** fused: `{x: [N, H]}` → `[sums [H]]`. */
  columnSums: 'ColumnSums',
  /**
   * fused: `{qkv: [B * L, 3 * H], scoreBias?: [B, 1, 1, L], seed?}`, `{batchSize, maxSeqLen, numHeads, rate, site}` →
   * `[context [B * L, H], probs [B, A, L, L] before dropout]`; see attention.ts.
   */
  attention: 'AttentionFromQkv',
  /** fused: `{dContext, qkv, probs, seed?}`, attributes as above → `[dQkv]`. */
  attentionGradient: 'AttentionFromQkvGrad',
  /**
   * fused: `{unit: [N, D], anchors: int32 [A], positives: int32 [A], negatives: int32 [A, K]}`, `{inverseTemperature}` →
   * `[losses [A, 1], hits [A, 1], toUnit [A, D]]`: ℓ of each anchor, 1 where its positive is nearer than each negative,
   * and τ · ∂ℓ/∂u; see objectives/taco.ts.
   */
  contrast: 'TokenContrast',
  /** fused: `{x}` → `[Σ x², scalar]`. */
  sumOfSquares: 'SumOfSquares',
  /**
   * fused: `{parameter, gradient, firstMoment, secondMoment, gradientScale, scale1, scale2, stepSize, epsilon, keep}`,
   * the last six scalars, scale1 and scale2 made of gradientScale, `{beta1, beta2}` → `[parameter, firstMoment,
   * secondMoment]` after the update, in the memory of those before it where nothing else holds them; see optim/adamw.ts.
   */
  adamW: 'AdamWUpdate',
} as const;

/** Whether the backend in use has a kernel. */
export function hasKernel(name: string): boolean {
  return hasKernelFor(tf.getBackend(), name);
}

/** Whether a backend has a kernel. */
export function hasKernelFor(backend: string, name: string): boolean {
  // The registry has undefined for what it lacks, though its type does not say so.
  const kernel = tf.getKernel(name, backend) as tf.KernelConfig | undefined;
  return kernel !== undefined;
}

/** Runs a kernel of the backend in use and returns its outputs. */
export function runKernel(
  name: string,
  inputs: Readonly<Record<string, tf.Tensor>>,
  attrs: Readonly<Record<string, number>> = {},
): tf.Tensor[] {
  const outputs = tf.engine().runKernel<tf.Tensor | tf.Tensor[]>(name, inputs, attrs);
  return Array.isArray(outputs) ? outputs : [outputs];
}

/** Runs a kernel and returns its first output. */
export function runKernelOnce(
  name: string,
  inputs: Readonly<Record<string, tf.Tensor>>,
  attrs: Readonly<Record<string, number>> = {},
): tf.Tensor {
  const [first] = runKernel(name, inputs, attrs);
  if (first === undefined) throw new Error(`kernel ${name} returned nothing`);
  return first;
}
