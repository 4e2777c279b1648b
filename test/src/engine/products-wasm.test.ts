// Registers tfjs's kernels, before this file wraps them.
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openBackend } from '../../../src/engine/backend.ts';
import { InferenceSession } from '../../../src/inference/inference-session.ts';
import { type ObjectiveOptions, type SessionOptions, TrainingSession } from '../../../src/train/session.ts';
import { readTorchFixture, toBatch } from '../../support/torch-fixture.ts';

/** The kernels of tfjs that multiply matrices. */
const PRODUCTS = [tf.BatchMatMul, tf._FusedMatMul];
const fixture = readTorchFixture();
const { temperature, tcWeight, weightDecay } = fixture;
const taco: ObjectiveOptions = { mode: 'taco', temperature, tcWeight };
const optimizer = { weightDecay, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 };
const batch = toBatch(fixture, fixture.curveBatches[0]!);

/** Products that tfjs's own kernels computed, as their shapes. */
const slow: string[] = [];
/** How many products were asked for. */
let numProducts = 0;

/** Puts a kernel around the one that is registered. */
function wrapKernel(kernelName: string, before: (inputs: tf.NamedTensorInfoMap) => void): void {
  const kernel = tf.getKernel(kernelName, 'wasm');
  tf.unregisterKernel(kernelName, 'wasm');
  tf.registerKernel({
    ...kernel,
    kernelFunc: (call) => {
      before(call.inputs);
      return kernel.kernelFunc(call);
    },
  });
}

function shapesOf({ a, b }: tf.NamedTensorInfoMap): string {
  return `[${a!.shape.join()}] · [${b!.shape.join()}]`;
}

function withSession(options: Partial<SessionOptions>, run: (session: TrainingSession) => void): void {
  const session = new TrainingSession({
    model: fixture.model,
    seed: 3,
    objective: taco,
    optimizer,
    ...options,
  });
  try {
    run(session);
  } finally {
    session.dispose();
  }
}

describe('matrix products on WebAssembly', () => {
  beforeAll(async () => {
    // Ours keep what was registered before them for the cases that they do not take.
    for (const name of PRODUCTS) wrapKernel(name, (inputs) => slow.push(`${name} ${shapesOf(inputs)}`));
    await openBackend('wasm');
    for (const name of PRODUCTS) {
      wrapKernel(name, () => {
        numProducts += 1;
      });
    }
  });

  beforeEach(() => {
    slow.length = 0;
    numProducts = 0;
  });

  it('notices a product that falls through to tfjs', () => {
    tf.tidy(() => tf.matMul(tf.ones([2, 3, 4]), tf.ones([1, 4, 5])));
    expect(slow).toEqual(['BatchMatMul [2,3,4] · [1,4,5]']);
  });

  it.each([
    ['without padding', undefined],
    ['with padding', Int32Array.from(batch.inputIds, (_, i) => (i % batch.maxSeqLen < 5 ? 1 : 0))],
  ])('of a TACO update %s are all computed by our kernels', (_, attentionMask) => {
    withSession({}, (session) => {
      const padded = { ...batch, attentionMask };
      session.trainStep([padded, padded], { learningRate: 1e-3, step: 0 });
      // Two micro-batches; forward, and both sides backward, of four layers of weights a block, the head's and the words.
      expect(numProducts).toBeGreaterThanOrEqual(2 * 3 * (4 * fixture.model.numLayers + 2));
      expect(slow).toEqual([]);
    });
  });

  it('of evaluation and prediction are all computed by our kernels', () => {
    withSession({}, (session) => {
      session.evaluate(batch);
      const { batchSize, maxSeqLen, inputIds } = batch;
      const inference = new InferenceSession(fixture.model, session.exportState());
      inference.predictMasked({ batchSize, maxSeqLen, inputIds, positions: Int32Array.of(1, 2, 3) });
      inference.dispose();
      expect(numProducts).toBeGreaterThanOrEqual(2 * (4 * fixture.model.numLayers + 2));
      expect(slow).toEqual([]);
    });
  });
});
