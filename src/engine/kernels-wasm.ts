import { Identity, UnsortedSegmentSum, unregisterKernel } from '@tensorflow/tfjs-core';
import { hasKernelFor, KERNELS } from '../ops/kernel.ts';
import { attention, attentionGradient } from './kernels-wasm-attention.ts';
import { contrast } from './kernels-wasm-contrast.ts';
import { registerFusedMatMul, registerMatMul } from './kernels-wasm-matmul.ts';
import { adamW, dropout, gelu, geluGradient, sumOfSquares } from './kernels-wasm-elementwise.ts';
import { registerRowGather } from './kernels-wasm-gather.ts';
import {
  columnSums,
  crossEntropy,
  layerNorm,
  layerNormGradient,
  unsortedSegmentSum,
} from './kernels-wasm-rows.ts';
import { registerWasmKernel } from './wasm-call.ts';

/** Registers the kernels that tfjs's WebAssembly backend lacks or has slow; again without effect. */
export function registerWasmKernels(): void {
  if (hasKernelFor('wasm', KERNELS.dropout)) return;
  registerWasmKernel(KERNELS.adamW, adamW);
  registerWasmKernel(KERNELS.attention, attention);
  registerWasmKernel(KERNELS.attentionGradient, attentionGradient);
  registerWasmKernel(KERNELS.columnSums, columnSums);
  registerWasmKernel(KERNELS.contrast, contrast);
  registerWasmKernel(KERNELS.crossEntropy, crossEntropy);
  registerWasmKernel(KERNELS.dropout, dropout);
  registerWasmKernel(KERNELS.gelu, gelu);
  registerWasmKernel(KERNELS.geluGradient, geluGradient);
  registerWasmKernel(KERNELS.layerNorm, layerNorm);
  registerWasmKernel(KERNELS.layerNormGradient, layerNormGradient);
  registerWasmKernel(KERNELS.sumOfSquares, sumOfSquares);
  registerWasmKernel(UnsortedSegmentSum, unsortedSegmentSum);
  registerMatMul();
  registerFusedMatMul();
  registerIdentity();
  registerRowGather();
}

/** tfjs's own copies; a tensor of the same data is enough, since tensors never change. */
function registerIdentity(): void {
  unregisterKernel(Identity, 'wasm');
  registerWasmKernel(Identity, (call) => {
    const { dataId, shape, dtype } = call.input('x');
    call.backend.incRef(dataId);
    return { dataId, shape, dtype };
  });
}
