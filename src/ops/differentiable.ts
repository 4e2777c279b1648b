import * as tf from '@tensorflow/tfjs-core';

/** What `forward` of `differentiable` returns. */
export interface Differentiable<T extends tf.Tensor> {
  readonly value: T;
  /**
   * @param dy gradient of the loss with respect to `value`
   * @param saved what `forward` saved, in the same order
   * @returns one gradient for each of the inputs, of its shape
   */
  readonly gradient: (dy: T, saved: readonly tf.Tensor[]) => tf.Tensor[];
}

/**
 * `tf.customGrad` with types: an operation whose gradient is given in closed form. Every tensor that `gradient` needs goes
 * through `save`, indices and seeds too: what is merely captured may be gone when the backward pass runs.
 * @param inputs tensors that receive gradients
 */
export function differentiable<T extends tf.Tensor>(
  inputs: readonly tf.Tensor[],
  forward: (save: (tensors: tf.Tensor[]) => void) => Differentiable<T>,
): T {
  const operation = tf.customGrad<T>((...args) => {
    const save = args.at(-1);
    if (typeof save !== 'function') throw new TypeError('tf.customGrad passed no save function');
    const { value, gradient } = forward(save);
    return {
      value,
      gradFunc: (dy, saved) => gradient(dy, saved),
    };
  });
  return operation(...inputs);
}
