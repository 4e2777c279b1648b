import * as tf from '@tensorflow/tfjs-core';
import { differentiable } from './differentiable.ts';
import { hasKernel, KERNELS, runKernelOnce } from './kernel.ts';

/**
 * y = x·W + b.
 * @param x_NI [N, I]
 * @param weight_IO [I, O]
 * @param bias_O [O]
 * @returns [N, O]
 */
export function dense(x_NI: tf.Tensor2D, weight_IO: tf.Tensor2D, bias_O: tf.Tensor): tf.Tensor2D {
  return differentiable([x_NI, weight_IO, bias_O], (save) => {
    save([x_NI, weight_IO]);
    return {
      value: tf.fused.matMul({ a: x_NI, b: weight_IO, bias: bias_O }) as tf.Tensor2D,
      gradient: (dy_NO, [x, weight]) => [
        tf.matMul(dy_NO, weight!, false, true),
        tf.matMul(x!, dy_NO, true, false),
        columnSums(dy_NO),
      ],
    };
  });
}

/** [N, H] → [H] */
export function columnSums(x_NH: tf.Tensor): tf.Tensor {
  return hasKernel(KERNELS.columnSums) ? runKernelOnce(KERNELS.columnSums, { x: x_NH }) : tf.sum(x_NH, 0);
}
