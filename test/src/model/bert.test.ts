import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { shapeOfFeed } from '../../../src/engine/program.ts';
import { encode } from '../../../src/model/bert.ts';
import { parameterSpecs, splitParts } from '../../../src/model/parameters.ts';
import { maskedLogits } from '../../../src/objectives/mlm.ts';
import { importParts } from '../../../src/train/session-state.ts';
import type { ObjectiveOptions } from '../../../src/train/session.ts';
import { stepGradients, type StepInput } from '../../../src/train/step.ts';
import { stepFeeds, stepInput } from '../../../src/train/step-input.ts';
import { describeOnEachBackend } from '../../support/backends.ts';
import {
  largestDifference,
  readTorchFixture,
  relativeError,
  toBatch,
  withoutPrefix,
} from '../../support/torch-fixture.ts';

const fixture = readTorchFixture();
const { model } = fixture;
const specs = parameterSpecs(model);

function parametersOfFixture(): Map<string, tf.Variable> {
  const state = withoutPrefix(fixture.tensors, 'parameter.');
  return new Map(
    specs.map((spec) => [spec.key, tf.variable(tf.tensor(importParts(state, '', spec), [...spec.shape]))]),
  );
}

function inputOfFixture(): StepInput {
  const { layout, specs: feedSpecs, values } = stepFeeds(toBatch(fixture, fixture.batch), true, {});
  const feeds = Object.entries(feedSpecs).map(([name, spec]) => [
    name,
    tf.tensor(values[name]!, shapeOfFeed(name, spec, values[name]!), spec.dtype),
  ]);
  const input = stepInput(Object.fromEntries(feeds) as Record<string, tf.Tensor>, layout);
  const typeIds_N = tf.tensor1d([...fixture.batch.typeIds!], 'int32');
  return { ...input, encoder: { ...input.encoder, typeIds_N } };
}

describeOnEachBackend('BERT against transformers', () => {
  beforeEach(() => {
    tf.engine().startScope();
  });
  afterEach(() => {
    tf.engine().endScope();
    tf.disposeVariables();
  });

  it('computes the hidden states and logits', () => {
    const parameters = parametersOfFixture();
    const { hiddenStates, hidden_NH } = encode(parameters, model, inputOfFixture().encoder);
    expect(hiddenStates).toHaveLength(model.numLayers + 1);
    for (const [i, state] of hiddenStates.entries()) {
      const expected = fixture.tensors.get(`hidden.${i}`)!;
      expect(state.size).toBe(expected.values.length);
      expect(largestDifference(state.dataSync(), expected.values)).toBeLessThan(1e-4);
    }
    const positions = tf.range(0, fixture.batchSize * fixture.maxSeqLen, 1, 'int32');
    const logits = maskedLogits(parameters, model, hidden_NH, positions);
    expect(logits.shape).toEqual([positions.size, model.vocabSize]);
    const expected = fixture.tensors.get('logits')!.values;
    expect(largestDifference(logits.dataSync(), expected)).toBeLessThan(1e-4);
  });

  it.each(['mlm', 'taco'] as const)('computes losses and the gradient of every parameter for %s', (mode) => {
    const { temperature, tcWeight } = fixture;
    const objective: ObjectiveOptions = mode === 'mlm' ? { mode } : { mode, temperature, tcWeight };
    const parameters = parametersOfFixture();
    const { gradients, losses } = stepGradients(parameters, model, objective, inputOfFixture(), tf.scalar(1));
    const [loss, mlm, , tc] = losses.dataSync();
    expect(loss).toBeCloseTo(fixture.losses[mode].loss, 5);
    expect(mlm).toBeCloseTo(fixture.losses[mode].mlm, 5);
    expect(tc).toBeCloseTo(fixture.losses[mode].tc, 5);

    const expected = withoutPrefix(fixture.tensors, `gradient.${mode}.`);
    const seen = new Set<string>();
    for (const spec of specs) {
      const values = new Float32Array(gradients.get(spec.key)!.dataSync<'float32'>());
      for (const [i, actual] of splitParts(spec, values).entries()) {
        const { name } = spec.parts[i]!;
        seen.add(name);
        const reference = expected.get(name)!.values;
        if (name.endsWith('self.key.bias')) {
          // A constant added to all keys shifts every score of a query alike: no gradient but rounding.
          expect(largestDifference(actual, reference), name).toBeLessThan(1e-6);
        } else {
          expect(relativeError(actual, reference), name).toBeLessThan(1e-3);
        }
      }
    }
    expect([...seen].sort()).toEqual([...expected.keys()].sort());
  });

  it('multiplies the gradient by the share of the micro-batch', () => {
    const parameters = parametersOfFixture();
    const whole = stepGradients(parameters, model, { mode: 'mlm' }, inputOfFixture(), tf.scalar(1));
    const quarter = stepGradients(parameters, model, { mode: 'mlm' }, inputOfFixture(), tf.scalar(0.25));
    for (const [key, gradient] of whole.gradients) {
      const expected = gradient.dataSync().map((value) => value / 4);
      expect(largestDifference(quarter.gradients.get(key)!.dataSync(), expected), key).toBeLessThan(1e-6);
    }
  });
});
