import * as tf from '@tensorflow/tfjs-core';
import { differentiable } from './differentiable.ts';
import { hasKernel, KERNELS, runKernelOnce } from './kernel.ts';

/**
 * Gaussian error linear unit in its exact form: x·Φ(x), Φ(x) = (1 + erf(x/√2)) / 2 (Hendrycks, Gimpel 2016,
 * arXiv:1606.08415), element by element. Its derivative is Φ(x) + x·φ(x).
 */
export function gelu<T extends tf.Tensor>(x: T): T {
  return differentiable<T>([x], (save) => {
    if (hasKernel(KERNELS.gelu) && hasKernel(KERNELS.geluGradient)) {
      save([x]);
      return {
        value: runKernelOnce(KERNELS.gelu, { x }) as T,
        gradient: (dy, [saved]) => [runKernelOnce(KERNELS.geluGradient, { dy, x: saved! })],
      };
    }
    const cdf = tf.mul(tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1), 0.5);
    save([x, cdf]);
    return { value: tf.mul(x, cdf), gradient: (dy, [x_, cdf_]) => [geluGradient(dy, x_!, cdf_!)] };
  });
}

function geluGradient(dy: tf.Tensor, x: tf.Tensor, cdf: tf.Tensor): tf.Tensor {
  const density = tf.mul(tf.exp(tf.mul(tf.square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
  return tf.mul(dy, tf.add(cdf, tf.mul(x, density)));
}
