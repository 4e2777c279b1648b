import * as tf from '@tensorflow/tfjs-core';
import { hasKernel, KERNELS, runKernelOnce } from '../ops/kernel.ts';

/**
 * Euclidean norm of all gradients taken as one vector.
 * Summed in double precision where the backend has a kernel for that, else in two stages, row by row and then the rows:
 * one float32 accumulator over millions of squares would lose digits that clipping needs.
 * @returns scalar, float32
 */
export function globalNorm(gradients: Iterable<tf.Tensor>): tf.Scalar {
  return tf.tidy(() => {
    const squares = Array.from(gradients, (gradient) => {
      if (hasKernel(KERNELS.sumOfSquares)) return runKernelOnce(KERNELS.sumOfSquares, { x: gradient });
      const square = tf.square(gradient);
      return tf.sum(gradient.rank > 1 ? tf.sum(square, -1) : square);
    });
    return squares.length === 0 ? tf.scalar(0) : tf.sqrt<tf.Scalar>(tf.sum(tf.stack(squares)));
  });
}

/**
 * Factor for every gradient that brings their norm down to `maxNorm`, as `torch.nn.utils.clip_grad_norm_`:
 * maxNorm / (norm + 1e-6), at most 1.
 * @param norm scalar, float32
 * @returns scalar, float32
 */
export function clipScale(norm: tf.Scalar, maxNorm: number): tf.Scalar {
  return tf.tidy(() => tf.minimum(tf.div(tf.scalar(maxNorm), tf.add(norm, tf.scalar(1e-6))), tf.scalar(1)));
}
