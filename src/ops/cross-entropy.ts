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
    const { sums_2, dLogits_MV } = weightedLosses(logits_MV, labels_M, weights_M);
    save([x_MH, words_VH, dLogits_MV, weights_M]);
    return {
      value: sums_2,
      gradient: (dy_2, [x, words, dLogits, weights]) => {
        const weighted_MV = weightedRows(dLogits!, weights!, dy_2);
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

/**
 * Weighted cross-entropy of a softmax over a few classes against one class a row.
 * @param logits_BC [B, C]
 * @param labels_B int32 [B], each in [0, C)
 * @param weights_B [B] factor of each row's loss; 0 takes a row out of everything
 * @returns [2] as `tiedCrossEntropy`
 */
export function softmaxCrossEntropy(
  logits_BC: tf.Tensor2D,
  labels_B: tf.Tensor1D,
  weights_B: tf.Tensor1D,
): tf.Tensor1D {
  return differentiable([logits_BC], (save) => {
    const { sums_2, dLogits_MV } = weightedLosses(logits_BC, labels_B, weights_B);
    save([dLogits_MV, weights_B]);
    return {
      value: sums_2,
      gradient: (dy_2, [dLogits, weights]) => [weightedRows(dLogits!, weights!, dy_2)],
    };
  });
}

function weightedLosses(logits_MV: tf.Tensor, labels_M: tf.Tensor1D, weights_M: tf.Tensor1D) {
  const [losses_M, hits_M, dLogits_MV] = runKernel(KERNELS.crossEntropy, {
    logits: logits_MV,
    labels: labels_M,
  });
  const counted_M = tf.cast(tf.greater(weights_M, 0), 'float32');
  const sums_2 = tf.stack([tf.sum(tf.mul(losses_M!, weights_M)), tf.sum(tf.mul(hits_M!, counted_M))]);
  return { sums_2: sums_2 as tf.Tensor1D, dLogits_MV: dLogits_MV! };
}

/** Each row times its weight and the gradient of the loss. */
function weightedRows(dLogits_MV: tf.Tensor, weights_M: tf.Tensor, dy_2: tf.Tensor1D): tf.Tensor {
  const factor_M1 = tf.reshape(tf.mul(weights_M, tf.slice(dy_2, 0, 1)), [-1, 1]);
  return tf.mul(dLogits_MV, factor_M1);
}
