import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { encode } from '../../../src/model/bert.ts';
import { classifierOutputs } from '../../../src/model/classifier.ts';
import { modelPreset } from '../../../src/model/config.ts';
import { initialValues } from '../../../src/model/init.ts';
import { classifierSpecs, KEYS, type ParameterMap } from '../../../src/model/parameters.ts';
import { describeOnEachBackend } from '../../support/backends.ts';
import { expectedDropout } from '../../support/dropout.ts';

const BATCH_SIZE = 3;
const MAX_SEQ_LEN = 5;
const NUM_OUTPUTS = 2;
/** Of embeddings 1, of a layer 3: attention, its output, the feed-forward block. */
const NUM_ENCODER_SITES = 7;
const model = modelPreset('tiny', {
  vocabSize: 40,
  hiddenSize: 12,
  intermediateSize: 16,
  maxPositions: 8,
  hiddenDropout: 0.4,
  // Otherwise all outputs are close to 0.
  initializerRange: 0.5,
});
const SEED = [7, 11] as const;

function randomParameters(): ParameterMap {
  return new Map(
    classifierSpecs(model, NUM_OUTPUTS).map((spec) => [
      spec.key,
      tf.variable(tf.tensor(initialValues(spec, model, 3), [...spec.shape])),
    ]),
  );
}

function input(seed: readonly [number, number] | undefined) {
  const numTokens = BATCH_SIZE * MAX_SEQ_LEN;
  return {
    batchSize: BATCH_SIZE,
    maxSeqLen: MAX_SEQ_LEN,
    ids_N: tf.tensor1d(
      Array.from({ length: numTokens }, (_, at) => 1 + ((17 * at) % 39)),
      'int32',
    ),
    outputRows_M: tf.range(0, numTokens, MAX_SEQ_LEN, 'int32'),
    dropoutSeed: seed === undefined ? undefined : tf.tensor1d([...seed], 'int32'),
  };
}

/** [rows, columns] · [columns, width] + bias, for biases of 0. */
function product(rows: Float32Array, weight: Float32Array, width: number): Float32Array {
  const columns = weight.length / width;
  return Float32Array.from({ length: (rows.length / columns) * width }, (_, at) => {
    const [row, column] = [Math.floor(at / width), at % width];
    let sum = 0;
    for (let k = 0; k < columns; k += 1) sum += rows[row * columns + k]! * weight[k * width + column]!;
    return sum;
  });
}

describeOnEachBackend("a classifier's head", () => {
  beforeEach(() => {
    tf.engine().startScope();
  });
  afterEach(() => {
    tf.engine().endScope();
    tf.disposeVariables();
  });

  it.each([
    ['in training drops of the pooled token, after tanh, by the site behind those of the encoder', SEED],
    ['otherwise drops nothing', undefined],
  ] as const)('%s', (_, seed) => {
    const parameters = randomParameters();
    const valuesOf = (key: string) => parameters.get(key)!.dataSync<'float32'>();
    const first = encode(parameters, model, input(seed)).hidden_NH.dataSync<'float32'>();
    const pooled = product(first, valuesOf(KEYS.pooler.weight), model.hiddenSize).map(Math.tanh);
    const dropped =
      seed === undefined
        ? pooled
        : expectedDropout(pooled, { seed, site: NUM_ENCODER_SITES, rate: model.hiddenDropout });
    const expected = product(dropped, valuesOf(KEYS.classifier.weight), NUM_OUTPUTS);

    const outputs = classifierOutputs(parameters, model, input(seed)).dataSync();
    expect(outputs).toHaveLength(BATCH_SIZE * NUM_OUTPUTS);
    for (const [at, value] of expected.entries()) expect(Math.abs(outputs[at]! - value)).toBeLessThan(1e-4);
  });
});
