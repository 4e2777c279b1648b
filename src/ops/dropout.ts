import type * as tf from '@tensorflow/tfjs-core';
import { differentiable } from './differentiable.ts';
import { KERNELS, runKernelOnce } from './kernel.ts';

/** Where a dropout mask comes from: a seed that arrives with the step, and the place in the network. */
export interface DropoutSource {
  /** int32 [2], both words from 0 to 2^30 − 1; a value of the step, so that a traced step is fed it. */
  readonly seed: tf.Tensor;
  /** Different for each use of a seed: added to the seed's first word. */
  readonly site: number;
  /** Share of elements set to 0, in [0, 1). */
  readonly rate: number;
}

/**
 * Inverted dropout (Srivastava et al. 2014): y = x / (1 − rate) where u ≥ rate, else 0, with u uniform in [0, 1) from
 * Philox4x32-10 exactly as TensorFlow's StatelessRandomUniform draws it for the seed [seed₀ + site, seed₁]. The same
 * seed gives the same mask on every backend. The backward pass draws the mask again instead of keeping it.
 */
export function dropout<T extends tf.Tensor>(x: T, source: DropoutSource | undefined): T {
  if (source === undefined || source.rate === 0) return x;
  return differentiable<T>([x], (save) => {
    save([source.seed]);
    return {
      value: applyDropout(x, source),
      gradient: (dy, [seed]) => [applyDropout(dy, { ...source, seed: seed! })],
    };
  });
}

/** Dropout outside the tape, for operations with a gradient of their own. */
export function applyDropout<T extends tf.Tensor>(x: T, source: DropoutSource | undefined): T {
  if (source === undefined || source.rate === 0) return x;
  const { seed, site, rate } = source;
  return runKernelOnce(KERNELS.dropout, { x, seed }, { rate, site }) as T;
}
