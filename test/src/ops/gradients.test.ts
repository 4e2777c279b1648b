import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { Random } from '../../../pipeline/index.ts';
import { add, elementOf, scaled } from '../../../src/ops/arithmetic.ts';
import { attention } from '../../../src/ops/attention.ts';
import { softmaxCrossEntropy, tiedCrossEntropy } from '../../../src/ops/cross-entropy.ts';
import { dense } from '../../../src/ops/dense.ts';
import { differentiable } from '../../../src/ops/differentiable.ts';
import { dropout } from '../../../src/ops/dropout.ts';
import { embeddingLookup, placeRows } from '../../../src/ops/embedding.ts';
import { gelu } from '../../../src/ops/gelu.ts';
import { layerNorm } from '../../../src/ops/layer-norm.ts';
import { squaredError } from '../../../src/ops/squared-error.ts';
import { tanh } from '../../../src/ops/tanh.ts';
import { describeOnEachBackend } from '../../support/backends.ts';

/** As many matrices as the case has shapes; most take fewer than four. */
type Operation = (a: tf.Tensor2D, b: tf.Tensor2D, c: tf.Tensor2D) => tf.Tensor;

interface Case {
  readonly title: string;
  readonly shapes: readonly (readonly [number, number])[];
  readonly operation: Operation;
}

const row = (x: tf.Tensor2D): tf.Tensor1D =>
  differentiable<tf.Tensor1D>([x], () => ({
    value: tf.reshape(x, [-1]),
    gradient: (dy) => [tf.reshape(dy, [1, -1])],
  }));
const int32 = (...values: number[]) => tf.tensor1d(values, 'int32');
const seed = () => int32(12, 34);

/** Sizes that are no multiple of a vector too: 4 lanes, tiles of 4 × 8, blocks of 16. */
const cases: readonly Case[] = [
  {
    title: 'add',
    shapes: [
      [3, 5],
      [3, 5],
    ],
    operation: (a, b) => add(a, b),
  },
  { title: 'scaled', shapes: [[3, 5]], operation: (x) => scaled(x, -1.7) },
  { title: 'element', shapes: [[1, 5]], operation: (x) => elementOf(row(x), 3) },
  { title: 'gelu', shapes: [[5, 7]], operation: (x) => gelu(scaled(x, 2)) },
  { title: 'tanh', shapes: [[5, 7]], operation: (x) => tanh(x) },
  {
    title: 'rows in places, an empty one hidden',
    shapes: [[3, 5]],
    operation: (x) => {
      const placed = placeRows(x, int32(2, 0, 0, 1), int32(1, 3, 0));
      return differentiable([placed], (save) => {
        const mask = tf.tensor2d([[1], [1], [0], [1]]);
        save([mask]);
        return { value: tf.mul(placed, mask), gradient: (dy, [saved]) => [tf.mul(dy, saved!)] };
      });
    },
  },
  {
    title: 'cross-entropy over a few classes',
    shapes: [[5, 3]],
    operation: (logits) =>
      elementOf(
        softmaxCrossEntropy(scaled(logits, 2), int32(0, 2, 1, 1, 0), tf.tensor1d([0.2, 0.4, 0, 0.1, 0.3])),
        0,
      ),
  },
  {
    title: 'squared error',
    shapes: [[4, 1]],
    operation: (x) => squaredError(x, tf.tensor1d([1, -2, 9, 0.5]), tf.tensor1d([0.5, 0.3, 0, 0.2])),
  },
  { title: 'dropout', shapes: [[5, 7]], operation: (x) => dropout(x, { seed: seed(), site: 3, rate: 0.4 }) },
  {
    title: 'dense',
    shapes: [
      [6, 5],
      [5, 11],
      [1, 11],
    ],
    operation: (x, w, b) => dense(x, w, row(b)),
  },
  {
    title: 'layer normalisation',
    shapes: [
      [4, 9],
      [1, 9],
      [1, 9],
    ],
    operation: (x, gain, bias) => layerNorm(x, { gain: row(gain), bias: row(bias) }, 1e-12),
  },
  {
    title: 'embedding lookup',
    shapes: [[6, 5]],
    operation: (table) => embeddingLookup(table, int32(4, 1, 4, 0, 5, 4)),
  },
  ...[false, true].flatMap((isPadded) =>
    [0, 0.3].map((rate) => ({
      title: `attention${isPadded ? ' with padding' : ''}${rate > 0 ? ' with dropout' : ''}`,
      shapes: [[2 * 5, 3 * 6]] as const,
      operation: (qkv: tf.Tensor2D) =>
        attention(qkv, {
          batchSize: 2,
          maxSeqLen: 5,
          numHeads: 2,
          scoreBias: isPadded ? tf.tensor([0, 0, 0, 0, 0, 0, 0, 0, -1e9, -1e9], [2, 1, 1, 5]) : undefined,
          dropout: rate > 0 ? { seed: seed(), site: 1, rate } : undefined,
        }),
    })),
  ),
  {
    title: 'tied cross-entropy',
    shapes: [
      [5, 6],
      [13, 6],
      [1, 13],
    ],
    operation: (x, words, bias) =>
      elementOf(
        tiedCrossEntropy(x, words, row(bias), int32(0, 12, 7, 7, 3), tf.tensor1d([0.2, 0.4, 0, 0.1, 0.3])),
        0,
      ),
  },
];

function randomMatrix(shape: readonly [number, number], random: Random): Float32Array {
  return Float32Array.from({ length: shape[0] * shape[1] }, () => random.normal());
}

function apply(operation: Operation, [a, b, c]: readonly tf.Tensor2D[]): tf.Tensor {
  return operation(a!, b!, c!);
}

/** Σ weights · operation(inputs): a scalar whose gradient takes every output along. */
function weightedSum(operation: Operation, inputs: tf.Tensor2D[], weights: readonly number[]): number {
  const output = apply(operation, inputs).dataSync<'float32'>();
  return output.reduce((sum, value, i) => sum + value * weights[i]!, 0);
}

describeOnEachBackend('gradient', () => {
  it.each(cases)('of $title is that of its differences', ({ shapes, operation }) => {
    tf.tidy(() => {
      const random = new Random(77, shapes.length);
      const values = shapes.map((shape) => randomMatrix(shape, random));
      const tensors = () => values.map((data, i) => tf.tensor2d(data, [...shapes[i]!]));
      const output = apply(operation, tensors());
      const weights = Array.from({ length: output.size }, () => random.normal());
      const dy = tf.tensor(weights, output.shape);
      const gradients = tf.grads((...inputs) => apply(operation, inputs as tf.Tensor2D[]))(tensors(), dy);
      expect(gradients).toHaveLength(shapes.length);

      const step = 1e-2;
      for (const [i, gradient] of gradients.entries()) {
        const actual = gradient.dataSync();
        expect(gradient.shape).toEqual(shapes[i]);
        for (let j = 0; j < actual.length; j += 1) {
          const original = values[i]![j]!;
          const at = (value: number) => {
            values[i]![j] = value;
            return weightedSum(operation, tensors(), weights);
          };
          const numeric = (at(original + step) - at(original - step)) / (2 * step);
          values[i]![j] = original;
          // float32 and second differences leave about this much.
          expect(Math.abs(actual[j]! - numeric)).toBeLessThan(2e-2 * (1 + Math.abs(numeric)));
        }
      }
    });
  });

  it('of a padding word is zero, whatever looks it up', () => {
    tf.tidy(() => {
      const lookup = (table: tf.Tensor) => embeddingLookup(table as tf.Tensor2D, int32(2, 0, 2), 0);
      const gradient = tf.grad(lookup)(tf.ones([3, 2]), tf.ones([3, 2]));
      expect([...gradient.dataSync()]).toEqual([0, 0, 0, 0, 2, 2]);
    });
  });
});

describeOnEachBackend('tied cross-entropy', () => {
  it('counts the rows of positive weight whose first largest logit is the label', () => {
    tf.tidy(() => {
      const x = tf.tensor2d([[1], [1], [1], [0]]);
      const words = tf.tensor2d([[0], [2], [2], [1]]);
      const labels = int32(1, 2, 1, 0);
      const weights = tf.tensor1d([0.5, 0.5, 0, 0.5]);
      const [loss, hits] = tiedCrossEntropy(x, words, tf.zeros([4]), labels, weights).dataSync();
      const logSum = Math.log(1 + 2 * Math.exp(2) + Math.exp(1));
      expect(loss).toBeCloseTo(0.5 * (2 * (logSum - 2) + Math.log(4)), 5);
      expect(hits).toBe(2);
    });
  });

  it('stands logits that overflow an exponential', () => {
    tf.tidy(() => {
      const x = tf.tensor2d([[1]]);
      const words = tf.tensor2d([[500], [-500], [499]]);
      const sums = tiedCrossEntropy(x, words, tf.zeros([3]), int32(2), tf.tensor1d([1]));
      expect(sums.dataSync()[0]).toBeCloseTo(1 + Math.log(1 + Math.exp(-1)), 4);
    });
  });
});
