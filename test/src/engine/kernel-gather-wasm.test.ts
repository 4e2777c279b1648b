import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { openBackend } from '../../../src/engine/backend.ts';

describe('gather on wasm', () => {
  beforeAll(async () => {
    await openBackend('wasm');
  });

  it('copies the rows that are asked for, in any shape of indices', () => {
    const problem = fc
      .record({
        numRows: fc.integer({ min: 1, max: 6 }),
        rowShape: fc.constantFrom<number[]>([], [3], [2, 2]),
        dtype: fc.constantFrom('float32' as const, 'int32' as const),
        indexShape: fc.constantFrom<number[]>([0], [1], [5], [2, 3]),
      })
      .chain((shape) => {
        const count = tf.util.sizeFromShape(shape.indexShape);
        const index = fc.integer({ min: 0, max: shape.numRows - 1 });
        return fc
          .array(index, { minLength: count, maxLength: count })
          .map((indices) => ({ ...shape, indices }));
      });
    fc.assert(
      fc.property(problem, ({ numRows, rowShape, dtype, indexShape, indices }) => {
        const width = tf.util.sizeFromShape(rowShape);
        const values = Array.from({ length: numRows * width }, (_, index) => index + 1);
        const expected = indices.flatMap((row) => values.slice(row * width, (row + 1) * width));
        tf.tidy(() => {
          const x = tf.tensor(values, [numRows, ...rowShape], dtype);
          const picked = tf.gather(x, tf.tensor(indices, indexShape, 'int32'));
          expect(picked.shape).toEqual([...indexShape, ...rowShape]);
          expect(picked.dtype).toBe(dtype);
          expect([...picked.dataSync()]).toEqual(expected);
        });
      }),
    );
  });

  it('leaves other axes to the kernel that was there', () => {
    tf.tidy(() => {
      const x = tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3]);
      const columns = tf.gather(x, tf.tensor1d([2, 0], 'int32'), 1);
      expect(columns.arraySync()).toEqual([
        [3, 1],
        [6, 4],
      ]);
    });
  });

  it.each([-1, 2])('refuses row %d of 2, and leaves no tensor behind', (row) => {
    const before = tf.memory().numTensors;
    expect(() => tf.tidy(() => tf.gather(tf.zeros([2, 3]), tf.tensor1d([0, row], 'int32')))).toThrow(
      `gather of row ${row}, expected 0 to 1`,
    );
    expect(tf.memory().numTensors).toBe(before);
  });
});
