import * as tf from '@tensorflow/tfjs-core';
import { TacoError } from '../../pipeline/index.ts';
import { registerTensorFlowKernels } from './kernels-tensorflow.ts';
import { registerWasmKernels } from './kernels-wasm.ts';

/**
 * Registers what training needs beyond tfjs's own kernels for the backend in use; again without effect.
 * @throws TacoError `backend` for a backend that cannot train
 */
export function registerKernels(): void {
  const name = tf.getBackend();
  if (name === 'wasm') {
    registerWasmKernels();
  } else if (name === 'tensorflow') {
    registerTensorFlowKernels();
  } else {
    throw new TacoError(
      `the tensor backend is "${name}", expected tensorflow or wasm: call openBackend first`,
      {
        code: 'backend',
        stage: 'engine',
      },
    );
  }
}
