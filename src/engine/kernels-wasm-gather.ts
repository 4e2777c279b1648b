import { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';

const backendName = 'wasm';

/**
 * Replaces the WebAssembly backend's gather for the case that training uses, whole rows of a matrix. Its own
 * kernel walks every element through strides: 1.7 s for the negatives of one contrastive loss (102,400 rows of
 * 512), where copying rows takes 40 ms. Other cases go to the kernel that was there.
 */
export function registerRowGather(): void {
  const original = tf.getKernel(tf.GatherV2, backendName);
  tf.unregisterKernel(tf.GatherV2, backendName);
  tf.registerKernel({
    kernelName: tf.GatherV2,
    backendName,
    kernelFunc: (call) => {
      const { x, indices } = call.inputs as { readonly x: tf.TensorInfo; readonly indices: tf.TensorInfo };
      const attrs = call.attrs as { readonly axis?: number; readonly batchDims?: number } | undefined;
      const isRows = (attrs?.axis ?? 0) === 0 && (attrs?.batchDims ?? 0) === 0;
      if (!isRows || indices.dtype !== 'int32' || (x.dtype !== 'float32' && x.dtype !== 'int32')) {
        return original.kernelFunc(call);
      }
      if (!(call.backend instanceof BackendWasm)) throw new TypeError('gather wants the WebAssembly backend');
      return gatherRows(call.backend, x, indices);
    },
  });
}

function gatherRows(backend: BackendWasm, x: tf.TensorInfo, indices: tf.TensorInfo): tf.TensorInfo {
  const numRows = x.shape[0]!;
  const outside = backend.typedArrayFromHeap(indices).find((row) => row < 0 || row >= numRows);
  if (outside !== undefined) throw new RangeError(`gather of row ${outside}, expected 0 to ${numRows - 1}`);

  const rowShape = x.shape.slice(1);
  const rowBytes = 4 * tf.util.sizeFromShape(rowShape);
  const output = backend.makeOutput([...indices.shape, ...rowShape], x.dtype);
  // Views come after the allocation, which may have moved the heap.
  const rows = backend.typedArrayFromHeap(indices);
  const source = backend.typedArrayFromHeap(x);
  const target = backend.typedArrayFromHeap(output);
  const heap = new Uint8Array(source.buffer);
  for (let i = 0; i < rows.length; i += 1) {
    const start = source.byteOffset + rows[i]! * rowBytes;
    heap.copyWithin(target.byteOffset + i * rowBytes, start, start + rowBytes);
  }
  return output;
}
