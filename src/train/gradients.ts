import * as tf from '@tensorflow/tfjs-core';
import type { ParameterMap } from '../model/parameters.ts';
import { scaled } from '../ops/arithmetic.ts';

/** What a forward pass leaves. */
export interface Forward {
  /** Has the gradient. */
  readonly loss: tf.Scalar;
  /** Numbers to be read back, the loss among them. */
  readonly losses: tf.Tensor1D;
}

/** Gradients by parameter key, and the forward pass's numbers; the caller disposes all of them. */
export interface Gradients {
  readonly gradients: ReadonlyMap<string, tf.Tensor>;
  readonly losses: tf.Tensor1D;
}

/**
 * A forward pass and the gradient of `share` times its loss.
 * @param share a scalar
 * @throws Error for a parameter that the loss does not reach
 */
export function gradientsOf(parameters: ParameterMap, share: tf.Scalar, forward: () => Forward): Gradients {
  const { grads, losses } = tf.tidy(() => {
    // Only the loss leaves the differentiated function; the others leave by being kept, and become a clone that
    // belongs to this scope.
    const kept: { losses?: tf.Tensor1D } = {};
    const result = tf.variableGrads(() => {
      const passed = forward();
      kept.losses = tf.keep(passed.losses);
      return scaled(passed.loss, share);
    }, [...parameters.values()]);
    const clone = tf.clone(kept.losses!);
    kept.losses!.dispose();
    return { grads: result.grads, losses: clone };
  });
  const gradients = new Map<string, tf.Tensor>();
  for (const [key, { name }] of parameters) {
    const gradient = grads[name];
    if (gradient === undefined) throw new Error(`the loss does not reach parameter ${key}`);
    gradients.set(key, gradient);
  }
  return { gradients, losses };
}
