import { setImmediate as nextTurn } from 'node:timers/promises';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { createProgram, openBackend } from '../../../../src/engine/index.ts';
import { hasTensorFlow } from '../../../support/backends.ts';

describe.skipIf(!hasTensorFlow)('before the first call of a step', () => {
  it('what its variables were given is gone', async () => {
    await openBackend('tensorflow');
    const program = createProgram();
    let given: WeakRef<Float32Array> | undefined;
    program.declare([{ name: 'weight', shape: [1000] }]);
    program.write(['weight'], () => {
      const values = new Float32Array(1000).fill(1);
      given = new WeakRef(values);
      return values;
    });
    // In the turn in which a weak reference was made, it holds.
    await nextTurn();
    const { sum } = program.compile(({ variables }) => ({ sum: tf.sum(variables.get('weight')!) }), {
      name: 'sum',
      feeds: {},
      updates: [],
    })({});
    expect(sum).toEqual(Float32Array.of(1000));
    expect(given!.deref()).toBeUndefined();
    program.dispose();
  });
});
