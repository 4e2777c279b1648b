import * as tf from '@tensorflow/tfjs-core';
import { hasKernelFor, KERNELS } from '../ops/kernel.ts';

const BACKEND = 'tensorflow';

/** The part of tfjs-node's backend through which any TensorFlow operation runs. */
interface NodeBackend {
  readonly binding: {
    readonly TF_ATTR_TYPE: number;
    readonly TF_ATTR_INT: number;
    readonly TF_FLOAT: number;
    readonly TF_INT32: number;
  };
  executeSingleOutput(
    name: string,
    attributes: readonly OperationAttribute[],
    inputs: readonly tf.TensorInfo[],
  ): tf.Tensor;
  executeMultipleOutputs(
    name: string,
    attributes: readonly OperationAttribute[],
    inputs: readonly tf.TensorInfo[],
    numOutputs: number,
  ): tf.Tensor[];
}

interface OperationAttribute {
  readonly name: string;
  readonly type: number;
  readonly value: number;
}

/** Registers this project's kernels for TensorFlow, and better ones than tfjs-node's; again without effect. */
export function registerTensorFlowKernels(): void {
  if (hasKernelFor(BACKEND, KERNELS.dropout)) return;
  register(KERNELS.dropout, dropout);
  register(KERNELS.crossEntropy, crossEntropy);
  // tfjs-node reads all indices back to check their range; TensorFlow checks them itself.
  tf.unregisterKernel(tf.GatherV2, BACKEND);
  register(tf.GatherV2, gather);
}

interface KernelCall {
  readonly inputs: Readonly<Record<string, tf.TensorInfo | undefined>>;
  readonly backend: NodeBackend;
  readonly attrs: Readonly<Record<string, unknown>>;
}

function register(kernelName: string, kernel: (call: KernelCall) => tf.Tensor | tf.Tensor[]): void {
  tf.registerKernel({
    kernelName,
    backendName: BACKEND,
    kernelFunc: ({ inputs, backend, attrs }) =>
      kernel({ inputs, backend: backend as NodeBackend, attrs: attrs ?? {} }),
  });
}

/** `{x, seed}`, `{rate, site}` → `[y]` */
function dropout({ inputs: { x, seed }, backend, attrs: { rate, site } }: KernelCall): tf.Tensor {
  const { binding } = backend;
  const type = (name: string, value: number) => ({ name, type: binding.TF_ATTR_TYPE, value });
  return tf.tidy(() => {
    const seedOfSite = tf.add(asTensor(seed), tf.tensor1d([Number(site), 0], 'int32'));
    const uniform = backend.executeSingleOutput(
      'StatelessRandomUniform',
      [type('dtype', binding.TF_FLOAT), type('T', binding.TF_INT32), type('Tseed', binding.TF_INT32)],
      [tf.tensor1d(x!.shape, 'int32'), seedOfSite],
    );
    const kept = tf.greaterEqual(uniform, Number(rate));
    return backend.executeSingleOutput(
      'SelectV2',
      [type('T', binding.TF_FLOAT)],
      [kept, tf.mul(asTensor(x), 1 / (1 - Number(rate))), tf.scalar(0)],
    );
  });
}

/** `{logits, labels}` → `[losses, hits, dLogits]` */
function crossEntropy({ inputs: { logits, labels }, backend }: KernelCall): tf.Tensor[] {
  const { binding } = backend;
  const [losses, dLogits] = backend.executeMultipleOutputs(
    'SparseSoftmaxCrossEntropyWithLogits',
    [
      { name: 'T', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT },
      { name: 'Tlabels', type: binding.TF_ATTR_TYPE, value: binding.TF_INT32 },
    ],
    [logits!, labels!],
    2,
  );
  const hits = tf.tidy(() => tf.cast(tf.equal(tf.argMax(asTensor(logits), 1), asTensor(labels)), 'float32'));
  return [losses!, hits, dLogits!];
}

/** tfjs's GatherV2: `{x, indices}`, `{axis, batchDims}` → rows of x */
function gather({ inputs: { x, indices }, backend, attrs: { axis, batchDims } }: KernelCall): tf.Tensor {
  const { binding } = backend;
  const typeOf = { float32: binding.TF_FLOAT, int32: binding.TF_INT32 };
  if (x?.dtype !== 'float32' && x?.dtype !== 'int32') {
    throw new TypeError(`gather got ${x?.dtype ?? 'nothing'}, expected float32 or int32`);
  }
  return backend.executeSingleOutput(
    'GatherV2',
    [
      { name: 'batch_dims', type: binding.TF_ATTR_INT, value: Number(batchDims) },
      { name: 'Tparams', type: binding.TF_ATTR_TYPE, value: typeOf[x.dtype] },
      { name: 'Tindices', type: binding.TF_ATTR_TYPE, value: binding.TF_INT32 },
      { name: 'Taxis', type: binding.TF_ATTR_TYPE, value: binding.TF_INT32 },
    ],
    [x, indices!, tf.scalar(Number(axis), 'int32')],
  );
}

/** Kernels get either tensors or bare data; operations want tensors. */
function asTensor(info: tf.TensorInfo | undefined): tf.Tensor {
  if (info === undefined) throw new TypeError('a kernel got too few inputs');
  if (info instanceof tf.Tensor) return info as tf.Tensor;
  return tf.engine().makeTensorFromTensorInfo(info);
}
