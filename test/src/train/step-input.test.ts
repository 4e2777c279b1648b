import { describe, expect, it } from 'vitest';
import { createProgram } from '../../../src/engine/index.ts';
import { initialValues } from '../../../src/model/init.ts';
import { parameterSpecs } from '../../../src/model/parameters.ts';
import { type StepFeeds, stepFeeds } from '../../../src/train/step-input.ts';
import { Steps } from '../../../src/train/steps.ts';
import { UpdateState } from '../../../src/train/update.ts';
import { UPDATED_KINDS, VARIABLES, variableSpecs } from '../../../src/train/variables.ts';
import { describeOnEachBackend } from '../../support/backends.ts';
import { readTorchFixture, relativeError, toBatch } from '../../support/torch-fixture.ts';

const fixture = readTorchFixture();
const { model } = fixture;
const specs = parameterSpecs(model);
const optimizer = { weightDecay: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 };
const batch = toBatch(fixture, fixture.batch);
const MASKED_FEEDS = ['positions', 'labels', 'weights'];

/** The feeds without filling behind the masked positions. */
function unfilled(feeds: StepFeeds): StepFeeds {
  const values = Object.entries(feeds.values).map(([name, given]) => [
    name,
    MASKED_FEEDS.includes(name) ? given.subarray(0, batch.maskedPositions.length) : given,
  ]);
  return { ...feeds, values: Object.fromEntries(values) as StepFeeds['values'] };
}

/** One update from the same weights; losses, the gradient's norm and the word embedding after it. */
function update(feeds: StepFeeds) {
  const program = createProgram();
  try {
    for (const kind of UPDATED_KINDS) program.declare(variableSpecs(specs, kind));
    const byName = new Map(specs.map((spec) => [VARIABLES.parameter + spec.key, spec]));
    program.write([...byName.keys()], (name) => initialValues(byName.get(name)!, model, 3));
    const steps = new Steps(program, { model, seed: 3, objective: { mode: 'mlm' }, optimizer }, specs);
    const outputs = steps.train(
      'only',
      feeds,
    )({
      ...feeds.values,
      ...new UpdateState(optimizer).feeds(1e-3),
      earlierLoss: Float32Array.of(0),
    });
    const moments = [...program.read(variableSpecs(specs, 'firstMoment').map(({ name }) => name))];
    return { losses: outputs.losses!, norm: outputs.norm![0]!, moments };
  } finally {
    program.dispose();
  }
}

describeOnEachBackend('filling behind the masked positions', () => {
  it('changes neither losses nor gradients', () => {
    const feeds = stepFeeds(batch, false, {});
    expect(feeds.values.positions!.length).toBeGreaterThan(batch.maskedPositions.length);
    const [filled, alone] = [update(feeds), update(unfilled(feeds))];
    expect(relativeError(filled.losses, alone.losses)).toBeLessThan(1e-6);
    expect(Math.abs(filled.norm / alone.norm - 1)).toBeLessThan(1e-5);
    for (const [i, [name, values]] of filled.moments.entries()) {
      expect(alone.moments[i]![0]).toBe(name);
      // A gradient that is zero but for rounding has no relative error: it is compared with the whole one.
      const { length } = values.filter((value, j) => Math.abs(value - alone.moments[i]![1][j]!) > 1e-6);
      expect(length).toBe(0);
    }
  });
});

describe('sizes of masked positions', () => {
  it.each([
    [16, 128],
    [16, 64],
    [32, 256],
  ])('are few at %i × %i, and little of them is filling', (batchSize, maxSeqLen) => {
    const numTokens = batchSize * maxSeqLen;
    const mean = 0.15 * numTokens;
    const deviation = Math.sqrt(0.85 * mean);
    const sizes = new Set<number>();
    let numFilling = 0;
    let count = 0;
    for (let numMasked = Math.ceil(mean - 3 * deviation); numMasked <= mean + 3 * deviation; numMasked += 1) {
      const given = { ...batch, batchSize, maxSeqLen, attentionMask: undefined, pairs: undefined };
      const masked = new Int32Array(numMasked);
      const feeds = stepFeeds({ ...given, maskedPositions: masked, maskedLabels: masked }, false, {});
      const size = feeds.values.positions!.length;
      sizes.add(size);
      numFilling += size - numMasked;
      count += numMasked;
    }
    expect(sizes.size).toBeLessThanOrEqual(10);
    expect(numFilling / count).toBeLessThan(0.03);
  });
});
