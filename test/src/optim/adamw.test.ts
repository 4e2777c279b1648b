import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { createProgram, type FeedSpec, type Program } from '../../../src/engine/index.ts';
import { adamWScalars, applyAdamW } from '../../../src/optim/adamw.ts';
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
  const kinds = ['parameter', 'firstMoment', 'secondMoment'] as const;
  const { beta1, beta2 } = fixture.options;
  const scalar = { dtype: 'float32', shape: [] } as const;

  /** One update by given gradients, as a step of a program. */
  function compileUpdate(program: Program, maxNorm: number) {
    const specs = names.map((name) => ({ name, shape: fixture.shapes[name]! }));
    const variables = kinds.flatMap((kind) => specs.map(({ name, shape }) => ({ name: kind + name, shape })));
    program.declare(variables);
    const feeds: Record<string, FeedSpec> = Object.fromEntries<FeedSpec>([
      ...specs.map(({ name, shape }) => [name, { dtype: 'float32', shape }] as const),
      ...['stepSize', 'epsilon', 'keep'].map((name) => [name, scalar] as const),
    ]);
    return program.compile(
      (scope) => {
        const of = (kind: (typeof kinds)[number], name: string) => scope.variables.get(kind + name)!;
        const states = new Map(
          names.map((name) => [
            name,
            {
              parameter: of('parameter', name),
              firstMoment: of('firstMoment', name),
              secondMoment: of('secondMoment', name),
            },
          ]),
        );
        const gradients = new Map(names.map((name) => [name, scope.feeds[name]!]));
        const norm = globalNorm(gradients.values());
        const gradientScale = clipScale(norm, maxNorm);
        const input = (name: string) => scope.feeds[name] as tf.Scalar;
        const scalars = { stepSize: input('stepSize'), epsilon: input('epsilon'), keep: input('keep') };
        applyAdamW(states, gradients, { ...scalars, gradientScale }, { beta1, beta2, decays });
        return { norm, gradientScale };
      },
      { name: 'update', feeds, updates: variables.map(({ name }) => name) },
    );
  }

  it("follows PyTorch's parameters and state over 20 clipped steps", () => {
    const numBefore = tf.memory().numTensors;
    const program = createProgram();
    const update = compileUpdate(program, fixture.maxGradNorm);
    program.write(
      names.map((name) => `parameter${name}`),
      (name) => Float32Array.from(fixture.initial[name.slice('parameter'.length)]!),
    );
    const numPerStep: number[] = [];
    let numClipped = 0;
    for (const [step, expected] of fixture.steps.entries()) {
      const scalars = Object.entries(adamWScalars(expected.learningRate, step, fixture.options));
      const { norm, gradientScale } = update(
        Object.fromEntries([
          ...names.map((name) => [name, Float32Array.from(expected.gradients[name]!)] as const),
          ...scalars.map(([name, value]) => [name, Float32Array.of(Number(value))] as const),
        ]),
      );
      expectClose(norm, [expected.norm], 1e-6);
      if (gradientScale[0]! < 1) numClipped += 1;
      for (const [name, values] of program.read(names.map((each) => `parameter${each}`))) {
        expectClose(values, expected.parameters[name.slice('parameter'.length)]!, 2e-5);
      }
      numPerStep.push(tf.memory().numTensors);
    }
    expect(numClipped).toBeGreaterThan(3);
    expect(numClipped).toBeLessThan(17);
    for (const kind of ['firstMoment', 'secondMoment'] as const) {
      for (const [name, values] of program.read(names.map((each) => kind + each))) {
        // 1 − β₂ of a β₂ in float32 is 1.3e-5 off.
        expectClose(values, fixture.state[name.slice(kind.length)]![kind], 2e-5);
      }
    }
    expect(new Set(numPerStep).size).toBe(1);
    program.dispose();
    expect(tf.memory().numTensors).toBe(numBefore);
  });

  it('refuses a step without the gradient of a parameter, naming it', () => {
    tf.tidy(() => {
      const weight = tf.variable(tf.ones([2]));
      const states = new Map([
        ['a.weight', { parameter: weight, firstMoment: weight, secondMoment: weight }],
      ]);
      const one = tf.scalar(1);
      const inputs = { stepSize: one, epsilon: one, keep: one, gradientScale: one };
      expect(() => {
        applyAdamW(states, new Map(), inputs, { beta1, beta2, decays });
      }).toThrow('a.weight');
      expect([...weight.dataSync()]).toEqual([1, 1]);
      weight.dispose();
    });
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
