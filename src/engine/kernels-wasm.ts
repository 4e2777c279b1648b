import * as tf from '@tensorflow/tfjs-core';
import { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { KERNELS } from '../ops/kernel.ts';
import { philox, statelessStart } from './philox.ts';

const BACKEND = 'wasm';

/** Registers the kernels that tfjs's WebAssembly backend lacks or has slow; again without effect. */
export function registerWasmKernels(): void {
  if ((tf.getKernel(KERNELS.dropout, BACKEND) as tf.KernelConfig | undefined) !== undefined) return;
  register(KERNELS.dropout, dropout);
  register(KERNELS.crossEntropy, crossEntropy);
  register(tf.UnsortedSegmentSum, unsortedSegmentSum);
}

interface KernelCall {
  readonly inputs: Readonly<Record<string, tf.TensorInfo | undefined>>;
  readonly backend: BackendWasm;
  readonly attrs: Readonly<Record<string, unknown>>;
}

function register(kernelName: string, kernel: (call: KernelCall) => tf.TensorInfo | tf.TensorInfo[]): void {
  tf.registerKernel({
    kernelName,
    backendName: BACKEND,
    kernelFunc: ({ inputs, backend, attrs }) => {
      if (!(backend instanceof BackendWasm))
        throw new TypeError(`kernel ${kernelName} wants the WebAssembly backend`);
      return kernel({ inputs, backend, attrs: attrs ?? {} });
    },
  });
}

function dropout({ inputs: { x, seed }, backend, attrs }: KernelCall): tf.TensorInfo {
  const y = backend.makeOutput(x!.shape, 'float32');
  const source = backend.typedArrayFromHeap(x!);
  const target = backend.typedArrayFromHeap(y);
  const [seed0, seed1] = backend.typedArrayFromHeap(seed!);
  const { key, counter } = statelessStart(seed0! + Number(attrs['site']), seed1!);
  const rate = Math.fround(Number(attrs['rate']));
  const scale = 1 / (1 - Number(attrs['rate']));
  for (let i = 0; i < source.length; i += 4) {
    const words = philox([i / 4, counter[1], counter[2], counter[3]], key);
    for (let j = 0; j < 4 && i + j < source.length; j += 1) {
      target[i + j] = (words[j]! & 0x7fffff) / 2 ** 23 >= rate ? source[i + j]! * scale : 0;
    }
  }
  return y;
}

function crossEntropy({ inputs: { logits, labels }, backend }: KernelCall): tf.TensorInfo[] {
  const [M, V] = [logits!.shape[0]!, logits!.shape[1]!];
  const outputs = [[M], [M], [M, V]].map((shape) => backend.makeOutput(shape, 'float32'));
  const [losses, hits, d] = outputs.map((o) => backend.typedArrayFromHeap(o));
  const z = backend.typedArrayFromHeap(logits!);
  const label = backend.typedArrayFromHeap(labels!);
  for (let m = 0; m < M; m += 1) {
    const row = z.subarray(m * V, (m + 1) * V);
    let best = 0;
    for (let v = 1; v < V; v += 1) if (row[v]! > row[best]!) best = v;
    let sum = 0;
    for (let v = 0; v < V; v += 1) sum += Math.exp(row[v]! - row[best]!);
    for (let v = 0; v < V; v += 1) d![m * V + v] = Math.exp(row[v]! - row[best]!) / sum;
    const l = label[m]!;
    d![m * V + l]! -= 1;
    losses![m] = Math.log(sum) + row[best]! - row[l]!;
    hits![m] = best === l ? 1 : 0;
  }
  return outputs;
}

function unsortedSegmentSum({ inputs: { x, segmentIds }, backend, attrs }: KernelCall): tf.TensorInfo {
  const numSegments = Number(attrs['numSegments']);
  const rowShape = x!.shape.slice(segmentIds!.shape.length);
  const sums = backend.makeOutput([numSegments, ...rowShape], 'float32');
  const width = tf.util.sizeFromShape(rowShape);
  const source = backend.typedArrayFromHeap(x!);
  const segments = backend.typedArrayFromHeap(segmentIds!);
  const target = backend.typedArrayFromHeap(sums).fill(0);
  for (let n = 0; n < segments.length; n += 1) {
    const segment = segments[n]!;
    if (segment < 0) continue;
    for (let i = 0; i < width; i += 1) target[segment * width + i]! += source[n * width + i]!;
  }
  return sums;
}
