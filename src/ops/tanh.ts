import * as tf from '@tensorflow/tfjs-core';
import { differentiable } from './differentiable.ts';

/** Hyperbolic tangent y, element by element. Its derivative is 1 − y². */
export function tanh<T extends tf.Tensor>(x: T): T {
  return differentiable<T>([x], (save) => {
    const y = tf.tanh(x);
    save([y]);
    return { value: y, gradient: (dy, [saved]) => [tf.mul(dy, tf.sub(1, tf.square(saved!)))] };
  });
}
