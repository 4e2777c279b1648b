/**
 * The same training step as anyone would write it with tfjs-core on tfjs-backend-wasm: none of this project's kernels
 * or operations, tfjs's own gradients. Where tfjs leaves a choice, the one that is faster for it is taken.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import type { Batch } from '../../../pipeline/index.ts';
import { initialValues } from '../../../src/model/init.ts';
import { KEYS, layerKeys, parameterSpecs } from '../../../src/model/parameters.ts';
import { serve } from './contender.ts';
import { WORKLOAD } from './workload.ts';

const { model, maxSeqLen, batchSize, objective, optimizer, learningRate } = WORKLOAD;
const headSize = model.hiddenSize / model.numHeads;

const require = createRequire(import.meta.url);
const packageFolder = dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json'));
// tfjs's bundle for Node leaves the gradients out; its single files are only found by require.
require('@tensorflow/tfjs-core/dist/register_all_gradients.js');
setWasmPaths(join(packageFolder, 'dist', '/'));
await tf.setBackend('wasm');
await tf.ready();
registerSegmentSum();

const specs = parameterSpecs(model);
const parameters = new Map(
  specs.map((spec) => [
    spec.key,
    tf.variable(tf.tensor(initialValues(spec, model, WORKLOAD.seed), [...spec.shape])),
  ]),
);
const adam = tf.train.adam(learningRate, optimizer.beta1, optimizer.beta2, optimizer.epsilon);

await serve((batch) => {
  const { value, grads } = tf.variableGrads(() => lossOf(batch), [...parameters.values()]);
  tf.tidy(() => {
    const squares = Object.values(grads).map((gradient) => tf.sum(tf.square(gradient)));
    const norm = tf.sqrt(tf.addN(squares));
    const scale = tf.minimum(tf.div(optimizer.maxGradNorm, tf.add(norm, 1e-6)), 1);
    for (const { key, decays } of specs) {
      const variable = parameters.get(key)!;
      if (decays) variable.assign(tf.mul(variable, 1 - learningRate * optimizer.weightDecay));
    }
    adam.applyGradients(
      Object.fromEntries(Object.entries(grads).map(([name, gradient]) => [name, tf.mul(gradient, scale)])),
    );
  });
  const loss = value.dataSync()[0]!;
  tf.dispose([value, grads]);
  return loss;
});

function lossOf(batch: Batch): tf.Scalar {
  const { embedded_NH, hidden_NH } = encode(batch);
  const { pairs } = batch;
  if (pairs === undefined) throw new Error('got a batch without pairs');
  const contrastive = contrastiveLoss(tf.sub(hidden_NH, embedded_NH), pairs);
  return tf.add(maskedLanguageModelLoss(hidden_NH, batch), tf.mul(contrastive, objective.tcWeight));
}

function encode({ inputIds, attentionMask }: Batch) {
  const words_NH = tf.gather(at(KEYS.words), tf.tensor1d(inputIds, 'int32'));
  const positions_LH = tf.slice(at(KEYS.positions), 0, maxSeqLen);
  const typed_BLH = tf.add(
    tf.reshape(words_NH, [batchSize, maxSeqLen, model.hiddenSize]),
    tf.add(positions_LH, tf.slice(at(KEYS.types), 0, 1)),
  );
  const sum_NH = tf.reshape<tf.Rank.R2>(typed_BLH, [batchSize * maxSeqLen, model.hiddenSize]);
  const embedded_NH = dropout(layerNorm(sum_NH, KEYS.embeddingNorm), model.hiddenDropout);
  const bias =
    attentionMask === undefined
      ? undefined
      : tf.mul(tf.sub(tf.tensor(attentionMask, [batchSize, 1, 1, maxSeqLen], 'float32'), 1), 1e9);
  let hidden_NH = embedded_NH;
  for (let layer = 0; layer < model.numLayers; layer += 1) {
    const keys = layerKeys(layer);
    const context_NH = attend(dense(hidden_NH, keys.qkv), bias);
    const attended_NH = dropout(dense(context_NH, keys.attentionOutput), model.hiddenDropout);
    const middle_NH = layerNorm(tf.add(attended_NH, hidden_NH), keys.attentionNorm);
    const output_NH = dense(gelu(dense(middle_NH, keys.intermediate)), keys.output);
    hidden_NH = layerNorm(tf.add(dropout(output_NH, model.hiddenDropout), middle_NH), keys.outputNorm);
  }
  return { embedded_NH, hidden_NH };
}

function attend(qkv_N3H: tf.Tensor2D, bias: tf.Tensor | undefined): tf.Tensor2D {
  const heads = tf.transpose(
    tf.reshape(qkv_N3H, [batchSize, maxSeqLen, 3, model.numHeads, headSize]),
    [2, 0, 3, 1, 4],
  );
  const [query, key, value] = tf.unstack(heads);
  const scores = tf.mul(tf.matMul(query!, key!, false, true), 1 / Math.sqrt(headSize));
  const probs = dropout(
    tf.softmax(bias === undefined ? scores : tf.add(scores, bias)),
    model.attentionDropout,
  );
  const context = tf.transpose(tf.matMul(probs, value!), [0, 2, 1, 3]);
  return tf.reshape(context, [batchSize * maxSeqLen, model.hiddenSize]);
}

/** On the masked positions alone; the output projection is the word embedding. */
function maskedLanguageModelLoss(hidden_NH: tf.Tensor2D, batch: Batch): tf.Scalar {
  const masked_MH = tf.gather(hidden_NH, tf.tensor1d(batch.maskedPositions, 'int32'));
  const head_MH = layerNorm(gelu(dense(masked_MH, KEYS.transform)), KEYS.headNorm);
  const logits_MV = tf.add(tf.matMul(head_MH, at(KEYS.words), false, true), at(KEYS.headBias));
  const labels_MV = tf.oneHot(tf.tensor1d(batch.maskedLabels, 'int32'), model.vocabSize);
  return tf.losses.softmaxCrossEntropy(labels_MV, logits_MV);
}

function contrastiveLoss(semantics_NH: tf.Tensor2D, pairs: NonNullable<Batch['pairs']>): tf.Scalar {
  const unit_NH = tf.div<tf.Tensor2D>(semantics_NH, tf.maximum(tf.norm(semantics_NH, 2, 1, true), 1e-8));
  // Only anchors pass a gradient on. tfjs has nothing to stop one; reading the values back is cheap here, and keeps the
  // largest gather out of the backward pass.
  const constant_NH = tf.tensor2d(unit_NH.dataSync(), unit_NH.shape);
  const anchor_AH = tf.gather(unit_NH, tf.tensor1d(pairs.anchors, 'int32'));
  const positive_AH = tf.gather(constant_NH, tf.tensor1d(pairs.positives, 'int32'));
  const numAnchors = pairs.anchors.length;
  const negatives_AK = tf.tensor2d(pairs.negatives, [numAnchors, WORKLOAD.numNegatives], 'int32');
  const negative_AKH = tf.gather(constant_NH, negatives_AK);
  const positive_A1 = tf.sum(tf.mul(anchor_AH, positive_AH), 1, true);
  const negative_AK = tf.squeeze(tf.matMul(negative_AKH, tf.expandDims(anchor_AH, 2)), [2]);
  const similarities = tf.div(tf.concat([positive_A1, negative_AK], 1), objective.temperature);
  const first_A = tf.zeros([numAnchors], 'int32');
  return tf.losses.softmaxCrossEntropy(
    tf.oneHot(first_A as tf.Tensor1D, WORKLOAD.numNegatives + 1),
    similarities,
  );
}

function at(key: string): tf.Tensor2D {
  return parameters.get(key) as tf.Tensor as tf.Tensor2D;
}

function dense(x_NI: tf.Tensor2D, keys: { readonly weight: string; readonly bias: string }): tf.Tensor2D {
  return tf.add(tf.matMul(x_NI, at(keys.weight)), at(keys.bias));
}

function gelu<T extends tf.Tensor>(x: T): T {
  return tf.mul(x, tf.mul(tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1), 0.5));
}

function dropout<T extends tf.Tensor>(x: T, rate: number): T {
  return tf.dropout(x, rate) as T;
}

function layerNorm(x_NH: tf.Tensor2D, keys: { readonly gain: string; readonly bias: string }): tf.Tensor2D {
  const { mean, variance } = tf.moments(x_NH, 1, true);
  const normalised_NH = tf.div(tf.sub(x_NH, mean), tf.sqrt(tf.add(variance, model.layerNormEpsilon)));
  return tf.add(tf.mul(normalised_NH, at(keys.gain)), at(keys.bias));
}

/** tfjs's gradient of gather wants UnsortedSegmentSum, which its WebAssembly backend lacks: a loop over the rows. */
function registerSegmentSum(): void {
  tf.registerKernel({
    kernelName: tf.UnsortedSegmentSum,
    backendName: 'wasm',
    kernelFunc: ({ inputs, backend, attrs }) => {
      const { x, segmentIds } = inputs as tf.UnsortedSegmentSumInputs as Record<string, tf.TensorInfo>;
      const { numSegments } = attrs as unknown as tf.UnsortedSegmentSumAttrs;
      const { readSync, makeOutput } = backend as unknown as {
        readSync: (id: object) => Float32Array | Int32Array;
        makeOutput: (shape: number[], dtype: string, at?: number, values?: Float32Array) => tf.TensorInfo;
      };
      const values = readSync.call(backend, x!.dataId);
      const ids = readSync.call(backend, segmentIds!.dataId);
      const width = values.length / ids.length;
      const sums = new Float32Array(numSegments * width);
      for (const [row, id] of ids.entries()) {
        for (let i = 0; i < width; i += 1) sums[id * width + i]! += values[row * width + i]!;
      }
      return makeOutput.call(backend, [numSegments, ...x!.shape.slice(1)], 'float32', undefined, sums);
    },
  });
}
