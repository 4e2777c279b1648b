import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { AdamW } from '../../../src/optim/adamw.ts';
import { clipScale, globalNorm } from '../../../src/optim/clip.ts';
import { learningRateAt } from '../../../src/optim/schedule.ts';
import { describeOnEachBackend } from '../../support/backends.ts';

type Arrays = Readonly<Record<string, readonly number[]>>;
interface Fixture {
  readonly shapes: Readonly<Record<string, number[]>>;
  readonly initial: Arrays;
  readonly options: { weightDecay: number; beta1: number; beta2: number; epsilon: number };
  readonly maxGradNorm: number;
  readonly schedule: { peak: number; warmupSteps: number; maxSteps: number };
  readonly steps: readonly { gradients: Arrays; norm: number; learningRate: number; parameters: Arrays }[];
  readonly state: Readonly<Record<string, { firstMoment: number[]; secondMoment: number[] }>>;
}
const fixture = JSON.parse(
  readFileSync(new URL('../../fixtures/optim/adamw.json', import.meta.url), 'utf8'),
) as Fixture;
const names = Object.keys(fixture.shapes);

function tensors(values: Arrays): Map<string, tf.Tensor> {
  return new Map(
    names.map((name) => [name, tf.tensor(Float32Array.from(values[name]!), fixture.shapes[name])]),
  );
}

function expectClose(actual: ArrayLike<number>, expected: readonly number[], relative: number): void {
  expect(actual.length).toBe(expected.length);
  for (const [index, value] of expected.entries()) {
    expect(Math.abs(actual[index]! - value)).toBeLessThan(relative * Math.max(1e-3, Math.abs(value)));
  }
}

/** As the fixture's script groups its parameters. */
const decays = (name: string): boolean => !/bias$|LayerNorm/.test(name);

describe('learningRateAt', () => {
  it("gives transformers' numbers", () => {
    for (const [step, { learningRate }] of fixture.steps.entries()) {
      expect(learningRateAt(step, fixture.schedule)).toBeCloseTo(learningRate, 12);
    }
  });

  it('starts at the peak without warm-up, and stays 0 past the end', () => {
    const schedule = { peak: 2, warmupSteps: 0, maxSteps: 4 };
    expect([0, 1, 2, 3, 4, 9].map((step) => learningRateAt(step, schedule))).toEqual([2, 1.5, 1, 0.5, 0, 0]);
  });

  it('never decays when all steps are warm-up', () => {
    const schedule = { peak: 1, warmupSteps: 4, maxSteps: 4 };
    expect([0, 1, 2, 3].map((step) => learningRateAt(step, schedule))).toEqual([0, 0.25, 0.5, 0.75]);
  });
});

describeOnEachBackend('AdamW', () => {
  it("follows PyTorch's parameters and state over 20 clipped steps", () => {
    const numBefore = tf.memory().numTensors;
    const parameters = new Map(Array.from(tensors(fixture.initial), ([name, t]) => [name, tf.variable(t)]));
    const optimizer = new AdamW(parameters, { ...fixture.options, decays });
    const numPerStep: number[] = [];
    let numClipped = 0;
    for (const [step, expected] of fixture.steps.entries()) {
      tf.tidy(() => {
        const gradients = tensors(expected.gradients);
        const norm = globalNorm(gradients.values());
        expectClose(norm.dataSync(), [expected.norm], 1e-6);
        const gradientScale = clipScale(norm, fixture.maxGradNorm);
        if (gradientScale.dataSync()[0]! < 1) numClipped += 1;
        optimizer.update(gradients, { learningRate: expected.learningRate, step, gradientScale });
      });
      for (const [name, parameter] of parameters) {
        expectClose(parameter.dataSync(), expected.parameters[name]!, 2e-5);
      }
      numPerStep.push(tf.memory().numTensors);
    }
    expect(numClipped).toBeGreaterThan(3);
    expect(numClipped).toBeLessThan(17);
    for (const [name, { firstMoment, secondMoment }] of optimizer.slots) {
      expectClose(firstMoment.dataSync(), fixture.state[name]!.firstMoment, 1e-5);
      expectClose(secondMoment.dataSync(), fixture.state[name]!.secondMoment, 1e-5);
    }
    expect(new Set(numPerStep).size).toBe(1);
    optimizer.dispose();
    tf.dispose([...parameters.values()]);
    // What is left are the tensors that the variables were made from.
    expect(tf.memory().numTensors - numBefore).toBe(names.length);
  });

  it('refuses a step without the gradient of a parameter, naming it', () => {
    const weight = tf.variable(tf.ones([2]));
    const optimizer = new AdamW(new Map([['a.weight', weight]]), { ...fixture.options, decays });
    expect(() => {
      optimizer.update(new Map(), { learningRate: 1, step: 0 });
    }).toThrow('a.weight');
    expect([...weight.dataSync()]).toEqual([1, 1]);
  });
});

describeOnEachBackend('globalNorm and clipScale', () => {
  it('keeps its digits over millions of small squares', () => {
    tf.tidy(() => {
      const gradients = [tf.fill([2000, 1000], 1e-3), tf.fill([1000], 2e-3)];
      const expected = Math.sqrt(2e6 * 1e-6 + 1000 * 4e-6);
      expect(Math.abs(globalNorm(gradients).dataSync()[0]! - expected) / expected).toBeLessThan(5e-5);
    });
  });

  it('is 0 for no gradients and for gradients of zeros, which are left as they are', () => {
    tf.tidy(() => {
      expect(globalNorm([]).dataSync()[0]).toBe(0);
      const norm = globalNorm([tf.zeros([3, 2])]);
      expect(norm.dataSync()[0]).toBe(0);
      expect(clipScale(norm, 1).dataSync()[0]).toBe(1);
    });
  });

  it('is not finite when one gradient is not', () => {
    tf.tidy(() => {
      const bad = globalNorm([tf.ones([2, 2]), tf.tensor1d([1, Number.NaN])]);
      expect(Number.isFinite(bad.dataSync()[0]!)).toBe(false);
    });
  });
});
