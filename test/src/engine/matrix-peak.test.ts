import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { measureMatrixPeak } from '../../../src/engine/index.ts';
import { describeOnEachBackend } from '../../support/backends.ts';

/** A clock that goes on by these times, one a reading, then by the last of them. */
function clock(...stepsMs: readonly number[]): () => number {
  let ms = 0;
  let reading = 0;
  return () => {
    ms += stepsMs[Math.min(reading, stepsMs.length - 1)]!;
    reading += 1;
    return ms;
  };
}

/** Of four products of matrices of this size. */
const flops = (size: number) => 4 * 2 * size ** 3;

describeOnEachBackend('peak of matrix products', (backend) => {
  it('is the operations of a call over its time', () => {
    expect(measureMatrixPeak('f32', clock(100))).toBe((1000 * flops(512)) / 100);
  });

  it('is that of the best call', () => {
    // Readings: the start; then the two around a call and one that asks whether to go on.
    const times = [0, 0, 100, 0, 0, 50, 0, 0, 200, 1000];
    expect(measureMatrixPeak('f32', clock(...times))).toBe((1000 * flops(512)) / 50);
  });

  it('takes larger matrices where a call is short', () => {
    expect(measureMatrixPeak('f32', clock(0, 0, 20, 0, 100, 1000))).toBe((1000 * flops(1024)) / 100);
  });

  it('leaves no tensor behind, in any precision of the backend', () => {
    for (const precision of backend === 'tensorflow' ? (['f32', 'bf16'] as const) : (['f32'] as const)) {
      const { numTensors } = tf.memory();
      expect(measureMatrixPeak(precision)).toBeGreaterThan(1e6);
      expect(tf.memory().numTensors).toBe(numTensors);
    }
  });
});
