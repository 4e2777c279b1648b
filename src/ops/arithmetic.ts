import * as tf from '@tensorflow/tfjs-core';
import { differentiable } from './differentiable.ts';

// tfjs-core's bundle for Node comes without the gradients of tfjs's own operations, so whatever lies between a
// parameter and the loss is an operation of this folder.

/** a + b of equal shapes. */
export function add<T extends tf.Tensor>(a: T, b: T): T {
  return differentiable<T>([a, b], () => ({ value: tf.add<T>(a, b), gradient: (dy) => [dy, dy] }));
}

/** factor · x, of a number or of a scalar that is a constant to the gradient. */
export function scaled<T extends tf.Tensor>(x: T, factor: number | tf.Scalar): T {
  return differentiable<T>([x], (save) => {
    if (typeof factor === 'number') {
      return { value: tf.mul<T>(x, factor), gradient: (dy) => [tf.mul(dy, factor)] };
    }
    save([factor]);
    return { value: tf.mul<T>(x, factor), gradient: (dy, [saved]) => [tf.mul(dy, saved!)] };
  });
}

/** One element of a vector as a scalar. */
export function elementOf(x_N: tf.Tensor1D, index: number): tf.Scalar {
  const [size] = x_N.shape;
  return differentiable<tf.Scalar>([x_N], () => ({
    value: tf.reshape(tf.slice(x_N, index, 1), []),
    gradient: (dy) => [tf.pad(tf.reshape(dy, [1]), [[index, size - index - 1]])],
  }));
}
