import * as tf from '@tensorflow/tfjs-core';
import { differentiable } from './differentiable.ts';

/**
 * Weighted squared error against one score a row.
 * @param x_B1 [B, 1]
 * @param scores_B [B]
 * @param weights_B [B] factor of each row's error; 0 takes a row out of everything
 * @returns Σ weight · (x − score)², a scalar
 */
export function squaredError(x_B1: tf.Tensor2D, scores_B: tf.Tensor1D, weights_B: tf.Tensor1D): tf.Scalar {
  return differentiable<tf.Scalar>([x_B1], (save) => {
    const error_B = tf.sub(tf.reshape(x_B1, [-1]), scores_B);
    const weighted_B = tf.mul(error_B, weights_B);
    save([weighted_B]);
    return {
      value: tf.sum(tf.mul(weighted_B, error_B)),
      gradient: (dy, [weighted]) => [tf.reshape(tf.mul(tf.mul(weighted!, 2), dy), [-1, 1])],
    };
  });
}
