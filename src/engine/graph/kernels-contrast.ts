import type * as tf from '@tensorflow/tfjs-core';
import type { DType } from './graph.ts';
import type { GraphCall } from './graph-call.ts';
import { batchProduct } from './products.ts';

const float32 = { T: { type: 'float32' } } as const;

/**
 * Bytes of gathered negatives that exist at a time. [A, K, D] as a whole is 210 MB at A = 2048, K = 50, D = 512;
 * chunks of this size stay in the processor's cache, and smaller ones only add operations.
 */
const CHUNK_BYTES = 8 * 2 ** 20;

/**
 * See `KERNELS.contrast`. In float32 whatever the type of products: similarities are divided by a temperature that is
 * small, and the products are few. Each chunk of anchors waits for the one before, because TensorFlow would otherwise
 * gather the negatives of all chunks first.
 */
export function contrast(call: GraphCall): tf.TensorInfo[] {
  const { graph } = call;
  const [unit, negatives] = [call.input('unit'), call.input('negatives')];
  const [numAnchors, numNegatives] = negatives.shape as [number, number];
  const width = unit.shape[1]!;
  const rowsOf = (name: string): string =>
    gather(call, call.reference(unit), call.reference(call.input(name)));
  const [anchors_AD, positives_AD] = [rowsOf('anchors'), rowsOf('positives')];
  const positives_A1 = call.reduce('Sum', call.map('Mul', anchors_AD, positives_AD), [1], true);

  const sizes = chunkSizes(numAnchors, Math.max(1, Math.floor(CHUNK_BYTES / (4 * numNegatives * width))));
  const anchors_CD1 = split(call, call.reshape(anchors_AD, [numAnchors, width, 1], 'float32'), sizes);
  const positives_C1 = split(call, positives_A1, sizes);
  const negatives_CK = split(call, call.reference(negatives), sizes, 'int32');
  let before: readonly string[] = [];
  const chunks = sizes.map((size, i) => {
    const gathered_CKD = gather(call, call.reference(unit), negatives_CK[i]!, before);
    const product_CK1 = batchProduct(call, gathered_CKD, anchors_CD1[i]!, { type: 'float32' });
    const similarities_CK = call.reshape(product_CK1, [size, numNegatives], 'float32');
    const { loss_C, error } = crossEntropy(call, [positives_C1[i]!, similarities_CK], size);
    const shares_CK = columns(call, error, 1, numNegatives);
    const shares_C1K = call.reshape(shares_CK, [size, 1, numNegatives], 'float32');
    const sum_C1D = batchProduct(call, shares_C1K, gathered_CKD, { type: 'float32' });
    before = [`^${sum_C1D}`];
    return {
      loss_C,
      highest_C1: call.reduce('Max', similarities_CK, [1], true),
      positiveError_C1: columns(call, error, 0, 1),
      sum_C1D,
    };
  });
  const all = (name: keyof (typeof chunks)[number]): string =>
    concat(
      call,
      chunks.map((chunk) => chunk[name]),
      0,
    );
  const isNearest = call.map('Greater', positives_A1, all('highest_C1'));
  const fromNegatives_AD = call.reshape(all('sum_C1D'), [numAnchors, width], 'float32');
  const fromPositives_AD = call.map('Mul', positives_AD, all('positiveError_C1'));
  return [
    call.output(all('loss_C'), [numAnchors, 1], 'float32', [numAnchors]),
    call.output(graph.cast(isNearest, 'bool', 'float32'), [numAnchors, 1]),
    call.output(call.map('AddV2', fromPositives_AD, fromNegatives_AD), [numAnchors, width]),
  ];
}

/**
 * @param similarities_CJ columns before division by the temperature, the first one of the positive
 * @returns ℓ [C], and τ · ∂ℓ/∂similarity [C, J]: the softmax, less 1 for the positive
 */
function crossEntropy(call: GraphCall, similarities_CJ: readonly string[], size: number) {
  const { graph } = call;
  const inverseTemperature = graph.float(call.number('inverseTemperature'));
  const logits_CJ = call.map('Mul', concat(call, similarities_CJ, 1), inverseTemperature);
  const labels_C = call.node('Fill', [graph.ints([size]), graph.int(0)], {
    T: { type: 'int32' },
    index_type: { type: 'int32' },
  });
  const attributes = { ...float32, Tlabels: { type: 'int32' } } as const;
  const loss_C = call.node('SparseSoftmaxCrossEntropyWithLogits', [logits_CJ, labels_C], attributes);
  return { loss_C, error: `${loss_C}:1` };
}

function chunkSizes(total: number, size: number): readonly number[] {
  return Array.from({ length: Math.ceil(total / size) }, (_, i) => Math.min(size, total - i * size));
}

/** Rows of a matrix, after some operations. */
function gather(call: GraphCall, matrix: string, indices: string, after: readonly string[] = []): string {
  return call.node('GatherV2', [matrix, indices, call.graph.int(0), ...after], {
    Tparams: { type: 'float32' },
    Tindices: { type: 'int32' },
    Taxis: { type: 'int32' },
    batch_dims: { int: 0 },
  });
}

/** Parts of some lengths along the first axis. */
function split(
  call: GraphCall,
  value: string,
  sizes: readonly number[],
  dtype: DType = 'float32',
): readonly string[] {
  const { graph } = call;
  const node = call.node('SplitV', [value, graph.ints(sizes), graph.int(0)], {
    num_split: { int: sizes.length },
    T: { type: dtype },
    Tlen: { type: 'int32' },
  });
  return sizes.map((_, i) => (i === 0 ? node : `${node}:${i}`));
}

/** Some columns of a float32 matrix. */
function columns(call: GraphCall, matrix: string, start: number, count: number): string {
  const { graph } = call;
  return call.node('Slice', [matrix, graph.ints([0, start]), graph.ints([-1, count])], {
    ...float32,
    Index: { type: 'int32' },
  });
}

function concat(call: GraphCall, parts: readonly string[], axis: number): string {
  if (parts.length === 1) return parts[0]!;
  return call.node('ConcatV2', [...parts, call.graph.int(axis)], {
    N: { int: parts.length },
    ...float32,
    Tidx: { type: 'int32' },
  });
}
