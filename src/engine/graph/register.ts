import * as tf from '@tensorflow/tfjs-core';
import { KERNELS } from '../../ops/kernel.ts';
import { registerGraphKernel } from './graph-call.ts';
import { adamW } from './kernels-adamw.ts';
import { attention, attentionGradient } from './kernels-attention.ts';
import { composites } from './kernels-composites.ts';
import { contrast } from './kernels-contrast.ts';
import { registerTfjsKernels } from './kernels-tfjs.ts';
import { GRAPH_BACKEND, traceBackend } from './trace-backend.ts';

/** Makes the trace backend known to tfjs; again without effect. */
export function registerGraphBackend(): void {
  if (Object.hasOwn(tf.engine().registryFactory, GRAPH_BACKEND)) return;
  // tfjs takes the backend of highest priority when none was chosen; this one computes nothing.
  tf.registerBackend(GRAPH_BACKEND, () => traceBackend, -1);
  registerTfjsKernels();
  for (const [name, kernel] of Object.entries(composites)) registerGraphKernel(name, kernel);
  registerGraphKernel(KERNELS.attention, attention);
  registerGraphKernel(KERNELS.attentionGradient, attentionGradient);
  registerGraphKernel(KERNELS.contrast, contrast);
  registerGraphKernel(KERNELS.adamW, adamW);
}
