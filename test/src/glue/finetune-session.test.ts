import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { createTokenizer, type TacoError } from '../../../pipeline/index.ts';
import { assembleBatch, type GlueBatch } from '../../../src/glue/batches.ts';
import { encodeExamples } from '../../../src/glue/encode.ts';
import { FinetuneSession } from '../../../src/glue/finetune-session.ts';
import { modelPreset } from '../../../src/model/config.ts';
import { openBackend } from '../../../src/engine/index.ts';
import type { NamedArray } from '../../../src/train/session-types.ts';
import { describeOnEachBackend, hasTensorFlow } from '../../support/backends.ts';
import { randomParameters } from '../../support/random-model.ts';
import { madeUpTokenizer } from '../../support/training.ts';

const VOCAB_SIZE = 1100;
const sizes = { vocabSize: VOCAB_SIZE, hiddenSize: 32, intermediateSize: 64, maxPositions: 64 };
const still = modelPreset('tiny', { ...sizes, hiddenDropout: 0, attentionDropout: 0 });
const dropping = modelPreset('tiny', sizes);
const optimizer = { weightDecay: 0, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 };
const STEP = { learningRate: 1e-3, step: 0 };

function createSession(
  model = still,
  { numOutputs = 2, seed = 1, pretrained = randomParameters(model, 5) } = {},
): FinetuneSession {
  return new FinetuneSession({ model, numOutputs, seed, optimizer }, pretrained);
}

const tokenizer = createTokenizer(madeUpTokenizer(VOCAB_SIZE));
const examples = [12, 3, 40, 7, 21].map((length, index) => ({
  index,
  texts: [
    Array.from({ length }, (_, i) => `word${200 + ((7 * i + index) % 90)}`).join(' '),
    `word${300 + index}`,
  ],
  label: index % 2,
}));
const encoded = encodeExamples(examples, tokenizer, 64);

function batchOf(rows: readonly number[], batchSize = rows.length, length = 64): GlueBatch {
  return assembleBatch(encoded, { rows: Uint32Array.from(rows), length }, batchSize, 0);
}

function largestDifference(a: ReadonlyMap<string, NamedArray>, b: ReadonlyMap<string, NamedArray>): number {
  expect([...a.keys()]).toEqual([...b.keys()]);
  let largest = 0;
  for (const [name, { values }] of a) {
    for (const [at, value] of b.get(name)!.values.entries()) {
      largest = Math.max(largest, Math.abs(values[at]! - value));
    }
  }
  return largest;
}

/** Uses a session and frees it. */
function using<T>(session: FinetuneSession, use: (session: FinetuneSession) => T): T {
  try {
    return use(session);
  } finally {
    session.dispose();
  }
}

describeOnEachBackend('a fine-tuning session', () => {
  it('predicts for a row what it predicts for it alone, whatever stands beside it or behind it', () => {
    using(createSession(), (session) => {
      const together = session.predict(batchOf([0, 1, 2, 3, 4]));
      expect(together).toHaveLength(10);
      for (let row = 0; row < 5; row += 1) {
        const alone = session.predict(batchOf([row], 3));
        expect(alone).toHaveLength(2);
        expect(Math.abs(alone[0]! - together[2 * row]!)).toBeLessThan(1e-5);
        expect(Math.abs(alone[1]! - together[2 * row + 1]!)).toBeLessThan(1e-5);
      }
      expect(new Set(together).size).toBe(10);
    });
  });

  it('learns from a batch that is filled up exactly what it learns from the examples alone', () => {
    const learn = (batch: GlueBatch) =>
      using(createSession(), (session) => ({
        metrics: session.trainStep(batch, STEP),
        parameters: session.exportParameters(),
      }));
    const alone = learn(batchOf([0, 2, 4]));
    const filled = learn(batchOf([0, 2, 4], 5));
    expect(filled.metrics.loss).toBeCloseTo(alone.metrics.loss, 6);
    expect(filled.metrics.gradNorm).toBeCloseTo(alone.metrics.gradNorm, 5);
    expect(largestDifference(filled.parameters, alone.parameters)).toBeLessThan(2e-5);
  });

  it('draws dropout from seed and step, in training alone', () => {
    const lossOf = (model: typeof dropping, step: number) =>
      using(createSession(model), (session) => session.trainStep(batchOf([0, 1, 2]), { ...STEP, step }).loss);
    const first = lossOf(dropping, 0);
    expect(lossOf(dropping, 0)).toBe(first);
    expect(Math.abs(lossOf(dropping, 1) - first)).toBeGreaterThan(1e-5);
    const predict = (model: typeof dropping) =>
      using(createSession(model), (session) => session.predict(batchOf([0, 1, 2])));
    expect(predict(dropping)).toEqual(predict(still));
  });

  it('takes a head that the model has, and draws one that it lacks from the seed', () => {
    const parametersOf = (seed: number, pretrained?: Map<string, NamedArray>) =>
      using(createSession(still, { seed, ...(pretrained === undefined ? {} : { pretrained }) }), (session) =>
        session.exportParameters(),
      );
    const first = parametersOf(1);
    const other = parametersOf(2);
    for (const name of ['bert.pooler.dense.weight', 'classifier.weight']) {
      const { values } = first.get(name)!;
      expect(values).not.toEqual(other.get(name)!.values);
      const deviation = Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length);
      expect(deviation).toBeGreaterThan(0.015);
      expect(deviation).toBeLessThan(0.025);
    }
    expect(first.get('bert.pooler.dense.bias')!.values).toEqual(new Float32Array(32));
    expect(largestDifference(parametersOf(2, first), first)).toBe(0);
  });

  it('moves every parameter, and keeps no tensors', () => {
    using(createSession(), (session) => {
      const before = session.exportParameters();
      session.trainStep(batchOf([0, 1]), STEP);
      const { numTensors } = tf.memory();
      for (let step = 1; step < 4; step += 1) session.trainStep(batchOf([0, 1]), { ...STEP, step });
      session.predict(batchOf([0, 1]));
      expect(tf.memory().numTensors).toBe(numTensors);
      for (const [name, { values }] of session.exportParameters()) {
        expect(values, name).not.toEqual(before.get(name)!.values);
      }
    });
  });

  it('skips an update whose loss is not finite', () => {
    using(createSession(still, { numOutputs: 1 }), (session) => {
      const before = session.exportParameters();
      const labels_B = Float32Array.of(1, Number.POSITIVE_INFINITY);
      expect(session.trainStep({ ...batchOf([0, 1]), labels_B }, STEP).skipped).toBe(true);
      expect(largestDifference(session.exportParameters(), before)).toBe(0);
    });
  });

  it('refuses labels that are no classes, words and rows that the model does not have, and other models', () => {
    using(createSession(), (session) => {
      const batch = batchOf([0, 1]);
      expect(() => session.trainStep({ ...batch, labels_B: Float32Array.of(0, 2) }, STEP)).toThrow(
        'label 2, expected a class from 0 to 1',
      );
      const ids_N = batch.ids_N.map((id) => (id === 0 ? 0 : VOCAB_SIZE));
      expect(() => session.trainStep({ ...batch, ids_N }, STEP)).toThrow(
        'token id 1100 is outside the model',
      );
    });
    const pretrained = randomParameters(modelPreset('tiny', { ...sizes, vocabSize: 900 }), 5);
    const wrong: Partial<TacoError> = { code: 'mismatch' };
    expect(() => createSession(still, { pretrained })).toThrow(expect.objectContaining(wrong));
  });
});

it.skipIf(!hasTensorFlow)('a fine-tuning step with dropout is the same on both backends', async () => {
  const results = [];
  for (const backend of ['wasm', 'tensorflow'] as const) {
    await openBackend(backend);
    results.push(
      using(createSession(dropping), (session) => [
        session.trainStep(batchOf([0, 1, 2, 3]), STEP),
        session.trainStep(batchOf([4, 1], 4), { ...STEP, step: 1 }),
      ]),
    );
  }
  const [wasm, native] = results;
  for (const [step, { loss, gradNorm }] of wasm!.entries()) {
    expect(Math.abs(loss - native![step]!.loss)).toBeLessThan(1e-5);
    expect(Math.abs(gradNorm / native![step]!.gradNorm - 1)).toBeLessThan(1e-4);
  }
});
