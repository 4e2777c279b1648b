import type * as tf from '@tensorflow/tfjs-core';
import type { GraphCall } from './graph-call.ts';
import { keptElements } from './kernels-composites.ts';
import { batchProduct } from './products.ts';

interface Sizes {
  readonly batchSize: number;
  readonly maxSeqLen: number;
  readonly numHeads: number;
  /** D */
  readonly headSize: number;
}

interface Forward {
  /** In the type of products, [B, A, L, D]; the query is scaled by 1/√D. */
  readonly query: string;
  readonly key: string;
  readonly value: string;
  /** float32 [B, A, L, L], after softmax and before dropout. */
  readonly probs: string;
  /** bool [B, A, L, L]; undefined without dropout. */
  readonly kept: string | undefined;
  /** In the type of products, after dropout but for its scale. */
  readonly dropped: string;
  /** float32 [B, L, A, D] */
  readonly context: string;
  /** 1 / (1 − rate), applied to the context, which is smaller than the probabilities. */
  readonly dropoutScale: number;
}

/** `{qkv, scoreBias?, seed?}` → `[context, probs]` */
export function attention(call: GraphCall): tf.TensorInfo[] {
  const { batchSize, maxSeqLen, numHeads, headSize } = sizesOf(call);
  const { context, probs } = forward(call);
  const width = numHeads * headSize;
  return [
    call.output(context, [batchSize * maxSeqLen, width], 'float32', [
      batchSize,
      maxSeqLen,
      numHeads,
      headSize,
    ]),
    call.output(probs, [batchSize, numHeads, maxSeqLen, maxSeqLen]),
  ];
}

/**
 * `{dContext, qkv, probs, seed?}` → `[dQkv]`. Nothing of the forward pass is computed again: the same operations on the
 * same inputs are the same nodes.
 */
export function attentionGradient(call: GraphCall): tf.TensorInfo {
  const { graph, productType } = call;
  const { batchSize, maxSeqLen, numHeads, headSize } = sizesOf(call);
  const probs = call.reference(call.input('probs'));
  const { query, key, value, kept, dropped, context, dropoutScale } = forward(call, probs);
  const dContext = call.reference(call.input('dContext'), [batchSize, maxSeqLen, numHeads, headSize]);
  const scaledUp = scaled(call, dContext, dropoutScale, 'float32');
  const dHeads = call.transpose(graph.cast(scaledUp, 'float32', productType), [0, 2, 1, 3], productType);
  const dValue = batchProduct(call, dropped, dHeads, { transposeA: true });
  const dDropped = graph.cast(
    batchProduct(call, dHeads, value, { transposeB: true }),
    productType,
    'float32',
  );
  // Σ_j p_ij · dp_ij is c_i · dc_i: a sum over D instead of L.
  const along = call.reduce('Sum', call.map('Mul', dContext, context), [3], true);
  const centred = call.map(
    'Sub',
    masked(call, dDropped, kept),
    call.transpose(along, [0, 2, 1, 3], 'float32'),
  );
  const dScores = graph.cast(call.map('Mul', probs, centred), 'float32', productType);
  const dQuery = scaled(call, batchProduct(call, dScores, key), 1 / Math.sqrt(headSize), productType);
  const dKey = batchProduct(call, dScores, query, { transposeA: true });
  const stacked = call.node('Pack', [dQuery, dKey, dValue], {
    N: { int: 3 },
    T: { type: productType },
    axis: { int: 0 },
  });
  const joined = call.transpose(stacked, [1, 3, 0, 2, 4], productType);
  const shape = [batchSize, maxSeqLen, 3, numHeads, headSize];
  return call.output(graph.cast(joined, productType, 'float32'), call.input('qkv').shape, 'float32', shape);
}

function sizesOf(call: GraphCall): Sizes {
  const numHeads = call.number('numHeads');
  const headSize = call.input('qkv').shape[1]! / (3 * numHeads);
  return { batchSize: call.number('batchSize'), maxSeqLen: call.number('maxSeqLen'), numHeads, headSize };
}

/** @param known probabilities of the forward pass, for the backward pass */
function forward(call: GraphCall, known?: string): Forward {
  const { graph, productType } = call;
  const { batchSize, maxSeqLen, numHeads, headSize } = sizesOf(call);
  const low = graph.cast(call.symbol(call.input('qkv')).reference, 'float32', productType);
  const parted = call.reshape(low, [batchSize, maxSeqLen, 3, numHeads, headSize], productType);
  const heads = call.node('Unpack', [call.transpose(parted, [2, 0, 3, 1, 4], productType)], {
    num: { int: 3 },
    T: { type: productType },
    axis: { int: 0 },
  });
  const query = scaled(call, heads, 1 / Math.sqrt(headSize), productType);
  const [key, value] = [`${heads}:1`, `${heads}:2`];
  const probs = known ?? probabilities(call, query, key);
  const seed = call.optionalInput('seed');
  const rate = seed === undefined ? 0 : call.number('rate');
  const shape = [batchSize, numHeads, maxSeqLen, maxSeqLen];
  const kept =
    rate === 0 ? undefined : keptElements(call, shape, call.reference(seed!), call.number('site'), rate);
  const dropped = graph.cast(masked(call, probs, kept), 'float32', productType);
  const joined = call.transpose(batchProduct(call, dropped, value), [0, 2, 1, 3], productType);
  const dropoutScale = 1 / (1 - rate);
  const context = scaled(call, graph.cast(joined, productType, 'float32'), dropoutScale, 'float32');
  return { query, key, value, probs, kept, dropped, context, dropoutScale };
}

/** softmax(Q·Kᵀ + bias) of a scaled query, in float32. */
function probabilities(call: GraphCall, query: string, key: string): string {
  const product = batchProduct(call, query, key, { transposeB: true });
  const scores = call.graph.cast(product, call.productType, 'float32');
  const bias = call.optionalInput('scoreBias');
  return call.map('Softmax', bias === undefined ? scores : call.map('AddV2', scores, call.reference(bias)));
}

function masked(call: GraphCall, x: string, kept: string | undefined): string {
  if (kept === undefined) return x;
  return call.node('SelectV2', [kept, x, call.graph.float(0)], { T: { type: 'float32' } });
}

/** factor · x, the factor in the type of x. */
function scaled({ graph }: GraphCall, x: string, factor: number, type: GraphCall['productType']): string {
  if (factor === 1) return x;
  return graph.node('Mul', [x, graph.cast(graph.float(factor), 'float32', type)], { T: { type } });
}
