import * as tf from '@tensorflow/tfjs-core';
import { columnSums } from './dense.ts';
import { differentiable } from './differentiable.ts';
import { hasKernel, KERNELS, runKernel } from './kernel.ts';

/** Gain and bias of a layer normalisation, both [H]. */
export interface LayerNormParameters {
  readonly gain: tf.Tensor;
  readonly bias: tf.Tensor;
}

/**
 * Layer normalisation over the last axis (Ba, Kiros, Hinton 2016, arXiv:1607.06450), with the biased variance:
 * y = (x − mean) / √(var + ε) · gain + bias.
 * @param x_NH [N, H]
 * @returns [N, H]
 */
export function layerNorm(
  x_NH: tf.Tensor,
  { gain, bias }: LayerNormParameters,
  epsilon: number,
): tf.Tensor2D {
  return differentiable([x_NH, gain, bias], (save) => {
    const [value, normalised_NH, rstd_N1] = hasKernel(KERNELS.layerNorm)
      ? runKernel(KERNELS.layerNorm, { x: x_NH, gain, bias }, { epsilon })
      : composed(x_NH, gain, bias, epsilon);
    save([normalised_NH!, rstd_N1!, gain]);
    return {
      value: value as tf.Tensor2D,
      gradient: (dy, [normalised, rstd, gain_]) =>
        hasKernel(KERNELS.layerNormGradient)
          ? runKernel(KERNELS.layerNormGradient, {
              dy,
              normalised: normalised!,
              rstd: rstd!,
              gain: gain_!,
            })
          : composedGradient(dy, normalised!, rstd!, gain_!),
    };
  });
}

function composed(x_NH: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor, epsilon: number): tf.Tensor[] {
  const centred_NH = tf.sub(x_NH, tf.mean(x_NH, -1, true));
  const rstd_N1 = tf.rsqrt(tf.add(tf.mean(tf.square(centred_NH), -1, true), epsilon));
  const normalised_NH = tf.mul(centred_NH, rstd_N1);
  return [tf.add(tf.mul(normalised_NH, gain), bias), normalised_NH, rstd_N1];
}

function composedGradient(
  dy_NH: tf.Tensor,
  normalised_NH: tf.Tensor,
  rstd_N1: tf.Tensor,
  gain: tf.Tensor,
): tf.Tensor[] {
  const scaled_NH = tf.mul(dy_NH, gain);
  const mean_N1 = tf.mean(scaled_NH, -1, true);
  const projection_N1 = tf.mean(tf.mul(scaled_NH, normalised_NH), -1, true);
  const dx = tf.mul(tf.sub(tf.sub(scaled_NH, mean_N1), tf.mul(normalised_NH, projection_N1)), rstd_N1);
  return [dx, columnSums(tf.mul(dy_NH, normalised_NH)), columnSums(dy_NH)];
}
