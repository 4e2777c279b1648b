import * as tf from '@tensorflow/tfjs-core';
import { columnSums } from './dense.ts';
import { differentiable } from './differentiable.ts';
import { KERNELS, runKernel } from './kernel.ts';

/**
 * Weighted cross-entropy of a softmax over a tied output projection, x·Eᵀ + b, against one word a row, without
 * one-hot labels; logits, probabilities and their gradient stay inside the operation.
 * @param x_MH [M, H]
 * @param words_VH [V, H] the output projection
 * @param bias_V [V]
 * @param labels_M int32 [M], each in [0, V)
 * @param weights_M [M] factor of each row's loss; 0 takes a row out of everything
 * @returns [2] Σ weightₘ·(−log softmax(logitsₘ)[labelₘ]), and the number of rows of positive weight whose largest
 *   logit is the label's; only the first has a gradient
 */
export function tiedCrossEntropy(
  x_MH: tf.Tensor2D,
  words_VH: tf.Tensor2D,
  bias_V: tf.Tensor,
  labels_M: tf.Tensor1D,
  weights_M: tf.Tensor1D,
): tf.Tensor1D {
  return differentiable([x_MH, words_VH, bias_V], (save) => {
    const logits_MV = tiedLogits(x_MH, words_VH, bias_V);
    const [losses_M, hits_M, dLogits_MV] = runKernel(KERNELS.crossEntropy, {
      logits: logits_MV,
      labels: labels_M,
    });
    save([x_MH, words_VH, dLogits_MV!, weights_M]);
    const counted_M = tf.cast(tf.greater(weights_M, 0), 'float32');
    return {
      value: tf.stack([
        tf.sum(tf.mul(losses_M!, weights_M)),
        tf.sum(tf.mul(hits_M!, counted_M)),
      ]) as tf.Tensor1D,
      gradient: (dy_2, [x, words, dLogits, weights]) => {
        const factor_M1 = tf.reshape(tf.mul(weights!, tf.slice(dy_2, 0, 1)), [-1, 1]);
        const weighted_MV = tf.mul(dLogits!, factor_M1);
        return [
          tf.matMul(weighted_MV, words!),
          tf.matMul(weighted_MV, x!, true, false),
          columnSums(weighted_MV),
        ];
      },
    };
  });
}

/** Logits of the tied projection, x·Eᵀ + b: [M, V]. */
export function tiedLogits(x_MH: tf.Tensor2D, words_VH: tf.Tensor2D, bias_V: tf.Tensor): tf.Tensor {
  return tf.fused.matMul({ a: x_MH, b: words_VH, transposeB: true, bias: bias_V });
}
