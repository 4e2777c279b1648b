import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { Graph } from '../../../../src/engine/graph/graph.ts';
import { registerGraphBackend } from '../../../../src/engine/graph/register.ts';
import { TraceError } from '../../../../src/engine/graph/trace-error.ts';
import { traceStep } from '../../../../src/engine/graph/trace-step.ts';
import { addGroup } from '../../../../src/engine/graph/variable-groups.ts';
import type { FeedSpec, Step } from '../../../../src/engine/index.ts';
import { openBackend } from '../../../../src/engine/index.ts';
import { KERNELS, runKernel } from '../../../../src/ops/kernel.ts';

beforeAll(async () => {
  // Some backend has to be in use; nothing is computed on it.
  await openBackend('wasm');
  registerGraphBackend();
});

const feeds: Readonly<Record<'x' | 'rate', FeedSpec>> = {
  x: { dtype: 'float32', shape: [4, 3] },
  rate: { dtype: 'float32', shape: [] },
};

/** Traces a step over the variables `weight` [3, 2] and `other` [3, 2]; `weight` may be assigned. */
function trace(step: Step<'x' | 'rate', string>, given: Readonly<Record<string, FeedSpec>> = feeds) {
  const graph = new Graph();
  const shape = [3, 2];
  const { variables } = addGroup(graph, [
    { name: 'weight', shape },
    { name: 'other', shape },
  ]);
  const before = graph.nodes.length;
  const traced = traceStep(
    step,
    { name: 'step', feeds: given, updates: ['weight'] },
    { graph, productType: 'float32', variables },
  );
  return { traced, nodes: graph.nodes.slice(before) };
}

const weightOf = (variables: ReadonlyMap<string, tf.Variable>): tf.Variable => variables.get('weight')!;

/** The message of the error that tracing ends with. */
function errorOf(step: Step<'x' | 'rate', string>, given?: Readonly<Record<string, FeedSpec>>): string {
  try {
    trace(step, given);
  } catch (error) {
    expect(error).toBeInstanceOf(TraceError);
    return (error as Error).message;
  }
  throw new Error('the step was traced');
}
/** The line of this file that the error names, as its text. */
const here = /\(.*trace\.test\.ts:\d+:\d+\)$/;

describe('what cannot become a graph is refused with the operation and the line', () => {
  it.each([
    [
      'reading a value',
      /^read: a value was read while the step was traced/,
      ({ feeds: { x } }) => ({ y: tf.scalar(x.dataSync()[0]!) }),
    ],
    [
      'a branch on a value',
      /^read: /,
      ({ feeds: { x, rate } }) => ({ y: rate.arraySync() === 0 ? x : tf.neg(x) }),
    ],
    [
      'a constant above 4 KB',
      /^Const: a constant float32 \[1025\] of 4100 bytes/,
      () => ({ y: tf.tensor1d(new Float32Array(1025)) }),
    ],
    [
      'a mask made by JavaScript',
      /^Const: .*make it a feed, or compute it with an operation/,
      ({ feeds: { x } }) => ({ y: tf.mul(tf.sum(x), tf.randomUniform([2048])) }),
    ],
    [
      'an unknown kernel',
      /^Cumsum: no such kernel for graphs/,
      ({ feeds: { x } }) => ({ y: tf.cumsum(x, 0) }),
    ],
    [
      'a kernel of this project that graphs do not have',
      /^NoSuchKernel: no such kernel/,
      ({ feeds: { x } }) => ({ y: runKernel('NoSuchKernel', { x })[0]! }),
    ],
    [
      'an assignment outside the updates',
      /^assign: the variable "other" is not among the updates of the step step/,
      ({ feeds: { x }, variables }) => {
        variables.get('other')!.assign(tf.zerosLike(weightOf(variables)));
        return { y: x };
      },
    ],
    [
      'two assignments of a variable',
      /^assign: the variable "weight" is assigned twice/,
      ({ feeds: { x }, variables }) => {
        for (const factor of [2, 3]) weightOf(variables).assign(tf.mul(weightOf(variables), factor));
        return { y: x };
      },
    ],
    [
      'a condition within a condition',
      /^when: a condition within a condition/,
      ({ feeds: { x, rate }, when }) => {
        const isPositive = tf.greater(rate, 0);
        when(isPositive, () => {
          when(isPositive, () => undefined);
        });
        return { y: x };
      },
    ],
  ] satisfies [string, RegExp, Step<'x' | 'rate', string>][])('%s', (_, expected, step) => {
    const message = errorOf(step);
    expect(message).toMatch(expected);
    expect(message).toMatch(here);
  });

  it('a tensor made outside', () => {
    const outside = tf.tensor2d([[1, 2, 3]]);
    try {
      expect(errorOf(({ feeds: { x } }) => ({ y: tf.add(x, outside) }))).toMatch(
        /^a tensor: it was made outside the step: make it a feed or a variable/,
      );
    } finally {
      outside.dispose();
    }
  });

  it('an update in place whose result is read', () => {
    const message = errorOf(({ feeds: { rate }, variables }) => {
      const weight = weightOf(variables);
      const tensors = { parameter: weight, gradient: weight, firstMoment: weight, secondMoment: weight };
      const scalars = { gradientScale: rate, stepSize: rate, epsilon: rate, keep: rate };
      const [updated] = runKernel(KERNELS.adamW, { ...tensors, ...scalars }, { beta1: 0.9, beta2: 0.99 });
      return { y: tf.add(updated!, 1) };
    });
    expect(message).toMatch(/^a tensor: it is the result of an update in place/);
  });

  it('a varying size where a fixed one is needed', () => {
    const varying = { ...feeds, x: { dtype: 'float32', shape: ['rows', 3] } } as const;
    expect(errorOf(({ feeds: { x } }) => ({ y: tf.fill(x.shape, 1) }), varying)).toMatch(
      /^Fill: a size that varies/,
    );
    expect(errorOf(({ feeds: { x } }) => ({ y: tf.slice(x, [0, 0], [2, 3]) }), varying)).toMatch(
      /^Slice: axis 0/,
    );
  });
});

describe('a traced step', () => {
  it('assigns after everything was read', () => {
    const { nodes, traced } = trace(({ feeds: { x }, variables }) => {
      const weight = weightOf(variables);
      const y = tf.matMul(x, weight);
      weight.assign(tf.neg(weight));
      return { y: tf.add(y, tf.sum(weight)) };
    });
    const read = nodes.find(({ op, name }) => op === 'ReadVariableOp' && name.endsWith('/weight'))!;
    const assign = nodes.find(({ op }) => op === 'AssignVariableOp')!;
    expect(assign.inputs).toContain(`^${read.name}`);
    // The output waits for the assignment, so that fetching it makes it.
    const output = nodes.find(({ name }) => name === traced.outputs.get('y'))!;
    expect(output.inputs).toContain(`^${assign.name}`);
  });

  it('adds to a variable in place', () => {
    const { nodes } = trace(({ feeds: { x, rate }, variables }) => {
      const weight = weightOf(variables);
      weight.assign(tf.add(weight, tf.mul(tf.onesLike(weight), rate)));
      return { y: x };
    });
    const ops = nodes.map(({ op }) => op);
    expect(ops).toContain('AssignAddVariableOp');
    expect(ops).not.toContain('AssignVariableOp');
  });

  it('leaves the backend in use as it was, also after an error, and no tensors behind', () => {
    const before = { backend: tf.getBackend(), numTensors: tf.memory().numTensors };
    trace(({ feeds: { x } }) => ({ y: tf.square(x) }));
    errorOf(({ feeds: { x } }) => ({ y: tf.cumsum(x, 0) }));
    expect({ backend: tf.getBackend(), numTensors: tf.memory().numTensors }).toEqual(before);
  });
});
