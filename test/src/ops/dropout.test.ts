import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { philox } from '../../../src/engine/philox.ts';
import { applyDropout, dropout } from '../../../src/ops/dropout.ts';
import { describeOnEachBackend } from '../../support/backends.ts';
import { expectedDropout, statelessUniform } from '../../support/dropout.ts';

const RATE = 0.1;

describe('philox', () => {
  it.each([
    // Test vectors of Random123, the authors' library.
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ] as const)('gives the words of its authors for counter %j', (counter, key, words) => {
    expect(philox(counter, key)).toEqual(words);
  });

  it("draws TensorFlow's numbers", () => {
    // tf.random.stateless_uniform([5], seed=[7, 11]) of TensorFlow 2.21.
    const drawn = [...statelessUniform(7, 11, 5)];
    expect(drawn).toEqual([
      0.7251373529434204, 0.07715070247650146, 0.5419409275054932, 0.26232099533081055, 0.5479346513748169,
    ]);
  });

  it('draws uniformly', () => {
    const draws = statelessUniform(1, 2, 100_000);
    const counts = new Array<number>(10).fill(0);
    for (const draw of draws) counts[Math.floor(draw * 10)]! += 1;
    // Standard deviation of a count is 95.
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  });
});

describeOnEachBackend('dropout', () => {
  it.each([1, 3, 16, 17, 100, 4099])('has the mask of its seed and site for %i elements', (size) => {
    tf.tidy(() => {
      const values = Float32Array.from({ length: size }, (_, i) => 1 + i);
      for (const [seed, site] of [
        [[7, 11], 0],
        [[2 ** 30 - 1, 2 ** 30 - 1], 37],
      ] as const) {
        const source = { seed: tf.tensor1d([...seed], 'int32'), site, rate: RATE };
        const actual = applyDropout(tf.tensor1d(values), source).dataSync();
        expect([...actual]).toEqual([...expectedDropout(values, { seed, site, rate: RATE })]);
      }
    });
  });

  it('drops the share it should and keeps the mean', () => {
    tf.tidy(() => {
      const source = { seed: tf.tensor1d([3, 4], 'int32'), site: 1, rate: RATE };
      const values = applyDropout(tf.ones([200, 500]), source).dataSync<'float32'>();
      const dropped = values.filter((value) => value === 0).length / values.length;
      // Standard deviation 0.00095.
      expect(Math.abs(dropped - RATE)).toBeLessThan(0.005);
      expect(values.reduce((sum, value) => sum + value, 0) / values.length).toBeCloseTo(1, 2);
    });
  });

  it('draws the same mask backward, and none at rate 0 or without a seed', () => {
    tf.tidy(() => {
      const x = tf.ones<tf.Rank.R2>([33, 5]);
      const source = { seed: tf.tensor1d([5, 6], 'int32'), site: 2, rate: RATE };
      const gradient = tf.grad((input) => dropout(input, source))(x, tf.onesLike(x));
      expect([...gradient.dataSync()]).toEqual([...applyDropout(x, source).dataSync()]);
      expect(dropout(x, { ...source, rate: 0 })).toBe(x);
      expect(dropout(x, undefined)).toBe(x);
    });
  });
});
