/**
 * The same training step on jax-js, jitted as a whole. The package is imported from the folder or file that TACO_JAX_JS
 * names. Masked positions are filled up to a fixed number, because every shape is compiled anew.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { initialValues } from '../../../src/model/init.ts';
import { KEYS, layerKeys, parameterSpecs } from '../../../src/model/parameters.ts';
import { adamWScalars } from '../../../src/optim/adamw.ts';
import { serve } from './contender.ts';
import type { JaxArray, JaxModule, JaxTree } from './jax-js-types.ts';
import { WORKLOAD } from './workload.ts';

/** Above what 1,024 tokens have in all batches of a run: 154 on average, with a deviation of 11. */
const MASKED_SIZE = 192;
const { model, maxSeqLen, batchSize, numNegatives, objective, optimizer, learningRate } = WORKLOAD;
const headSize = model.hiddenSize / model.numHeads;
const numTokens = batchSize * maxSeqLen;
/** Embeddings; in each layer attention, its output and the layer's. */
const numDropouts = 1 + 3 * model.numLayers;

const folder = process.env.TACO_JAX_JS;
if (folder === undefined) throw new Error('TACO_JAX_JS is not set, expected a folder with @jax-js/jax in it');
const entry = createRequire(join(folder, 'package.json')).resolve('@jax-js/jax');
const jax = (await import(pathToFileURL(entry.replace(/\.cjs$/, '.js')).href)) as JaxModule;
const { numpy: np, nn } = jax;
await jax.init('wasm');

const specs = parameterSpecs(model);
const treeOf = (of: (spec: (typeof specs)[number]) => JaxArray): JaxTree =>
  Object.fromEntries(specs.map((spec) => [spec.key, of(spec)]));
let parameters = treeOf((spec) => floats(initialValues(spec, model, WORKLOAD.seed), spec.shape));
let first = treeOf(({ shape }) => np.zeros(shape));
let second = treeOf(({ shape }) => np.zeros(shape));
const update = jax.jit(updateAll);

let step = 0;
await serve((batch) => {
  const { maskedPositions, maskedLabels, pairs } = batch;
  const numMasked = maskedPositions.length;
  if (pairs === undefined || numMasked > MASKED_SIZE) throw new Error('got a batch of unexpected size');
  const { stepSize, epsilon } = adamWScalars(learningRate, step, optimizer);
  let loss: JaxArray;
  [loss, parameters, first, second] = update(
    ...[parameters, first, second],
    floats(Float32Array.of(stepSize, epsilon), [2]),
    jax.random.key(step),
    integers(batch.inputIds, [numTokens]),
    integers(filled(maskedPositions), [MASKED_SIZE]),
    integers(filled(maskedLabels), [MASKED_SIZE, 1]),
    floats(new Float32Array(MASKED_SIZE).fill(1 / numMasked, 0, numMasked), [MASKED_SIZE, 1]),
    integers(pairs.anchors, [numTokens]),
    integers(pairs.positives, [numTokens]),
    integers(pairs.negatives, [numTokens, numNegatives]),
  );
  step += 1;
  return loss.dataSync()[0]!;
});

type Inputs = readonly JaxArray[];

function updateAll(
  parameters: JaxTree,
  first: JaxTree,
  second: JaxTree,
  scalars: JaxArray,
  ...inputs: Inputs
): [JaxArray, JaxTree, JaxTree, JaxTree] {
  const [loss, gradients] = jax.valueAndGrad(lossOf)(jax.tree.ref(parameters), ...inputs);
  const squares = specs.map(({ key }) => np.square(gradients[key]!.ref).sum());
  const norm = np.sqrt(squares.reduce((sum, square) => sum.add(square)));
  const scale = np.minimum(np.trueDivide(optimizer.maxGradNorm, norm.add(1e-6)), 1);
  const { beta1, beta2, weightDecay } = optimizer;
  const updated = specs.map(({ key, decays }) => {
    const gradient = gradients[key]!.mul(scale.ref);
    const m = first[key]!.mul(beta1).add(gradient.ref.mul(1 - beta1));
    const v = second[key]!.mul(beta2).add(np.square(gradient).mul(1 - beta2));
    const direction = m.ref.div(np.sqrt(v.ref).add(scalars.ref.slice(1)));
    const kept = parameters[key]!.mul(decays ? 1 - learningRate * weightDecay : 1);
    return { key, p: kept.sub(direction.mul(scalars.ref.slice(0))), m, v };
  });
  const tree = (of: (entry: (typeof updated)[number]) => JaxArray): JaxTree =>
    Object.fromEntries(updated.map((entry) => [entry.key, of(entry)]));
  return [loss, tree(({ p }) => p), tree(({ m }) => m), tree(({ v }) => v)];
}

function lossOf(p: JaxTree, ...inputs: Inputs): JaxArray {
  const [key, ids, positions, labels, weights, anchors, positives, negatives] = inputs as [
    ...[JaxArray, JaxArray, JaxArray, JaxArray, JaxArray, JaxArray, JaxArray, JaxArray],
  ];
  const { embedded, hidden } = encode(p, key, ids);
  // Its jit cannot scatter a gradient that is a mere view of another, as a product's would be.
  const isFilled = weights.ref.greaterEqual(1e-9);
  const masked = np.where(isFilled, np.take(hidden.ref, positions, 0), 0);
  const transformed = nn.gelu(dense(p, KEYS.transform, masked), { approximate: false });
  const head = layerNorm(p, KEYS.headNorm, transformed);
  const logits = np.matmul(head, p[KEYS.words]!.ref.transpose()).add(p[KEYS.headBias]!.ref);
  const isLabel = np.arange(model.vocabSize).equal(labels);
  const scores = np.where(isLabel, nn.logSoftmax(logits, -1), 0).sum(-1, { keepdims: true });
  const maskedLoss = scores.mul(weights).sum().neg();

  const semantics = hidden.sub(embedded);
  const norm = np.maximum(np.sqrt(np.square(semantics.ref).sum(-1, { keepdims: true })), 1e-8);
  const unit = semantics.div(norm);
  const constant = jax.lax.stopGradient(unit.ref);
  const anchor = np.take(unit, anchors, 0);
  const positive = np.take(constant.ref, positives, 0);
  const negative = np.take(constant, negatives, 0);
  const nearPositive = anchor.ref.mul(positive).sum(-1, { keepdims: true });
  const nearNegative = np.matmul(negative, anchor.reshape([numTokens, model.hiddenSize, 1]));
  const similarities = np
    .concatenate([nearPositive, nearNegative.reshape([numTokens, numNegatives])], 1)
    .div(objective.temperature);
  const contrastive = nn.logSoftmax(similarities, -1).slice([0, numTokens], 0).sum().div(-numTokens);
  return maskedLoss.add(contrastive.mul(objective.tcWeight));
}

function encode(p: JaxTree, key: JaxArray, ids: JaxArray): { embedded: JaxArray; hidden: JaxArray } {
  const keys = jax.random.split(key, numDropouts);
  let site = 0;
  const dropout = (x: JaxArray, rate: number): JaxArray => {
    const uniform = jax.random.uniform(keys.ref.slice(site), x.shape);
    site += 1;
    return np.where(uniform.greaterEqual(rate), x.div(1 - rate), 0);
  };
  const fixed = p[KEYS.positions]!.ref.slice([0, maxSeqLen]).add(p[KEYS.types]!.ref.slice(0));
  // Tiled and not the words reshaped, for the same reason as above.
  const sum = np.take(p[KEYS.words]!.ref, ids, 0).add(np.tile(fixed, [batchSize, 1]));
  const embedded = dropout(layerNorm(p, KEYS.embeddingNorm, sum), model.hiddenDropout);
  let hidden = embedded.ref;
  for (let layer = 0; layer < model.numLayers; layer += 1) {
    const at = layerKeys(layer);
    const heads = dense(p, at.qkv, hidden.ref)
      .reshape([batchSize, maxSeqLen, 3, model.numHeads, headSize])
      .transpose([2, 0, 3, 1, 4]);
    const [query, headKey, value] = [heads.ref.slice(0), heads.ref.slice(1), heads.slice(2)];
    const scores = np.matmul(query, headKey.transpose([0, 1, 3, 2])).div(Math.sqrt(headSize));
    const probs = dropout(nn.softmax(scores, -1), model.attentionDropout);
    const context = np.matmul(probs, value).transpose([0, 2, 1, 3]).reshape([numTokens, model.hiddenSize]);
    const attended = dropout(dense(p, at.attentionOutput, context), model.hiddenDropout);
    const middle = layerNorm(p, at.attentionNorm, attended.add(hidden));
    const inner = nn.gelu(dense(p, at.intermediate, middle.ref), { approximate: false });
    const output = dropout(dense(p, at.output, inner), model.hiddenDropout);
    hidden = layerNorm(p, at.outputNorm, output.add(middle));
  }
  return { embedded, hidden };
}

function dense(
  p: JaxTree,
  { weight, bias }: { readonly weight: string; readonly bias: string },
  x: JaxArray,
): JaxArray {
  return np.matmul(x, p[weight]!.ref).add(p[bias]!.ref);
}

function layerNorm(
  p: JaxTree,
  { gain, bias }: { readonly gain: string; readonly bias: string },
  x: JaxArray,
): JaxArray {
  const centred = x.ref.sub(x.mean(-1, { keepdims: true }));
  const variance = np.square(centred.ref).mean(-1, { keepdims: true });
  const normalised = centred.div(np.sqrt(variance.add(model.layerNormEpsilon)));
  return normalised.mul(p[gain]!.ref).add(p[bias]!.ref);
}

function floats(values: Float32Array, shape: readonly number[]): JaxArray {
  return np.array(values, { shape, dtype: np.float32 });
}

function integers(values: Int32Array, shape: readonly number[]): JaxArray {
  return np.array(values, { shape, dtype: np.int32 });
}

function filled(values: Int32Array): Int32Array {
  const longer = new Int32Array(MASKED_SIZE);
  longer.set(values);
  return longer;
}
