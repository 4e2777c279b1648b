import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { createProgram, type Program, type Step } from '../../../src/engine/index.ts';
import { dropout } from '../../../src/ops/dropout.ts';
import { describeOnEachBackend } from '../../support/backends.ts';

const scalar = { dtype: 'float32', shape: [] } as const;
const rows = { dtype: 'float32', shape: ['rows', 2] } as const;

function withProgram<T>(use: (program: Program) => T): T {
  const program = createProgram();
  try {
    return use(program);
  } finally {
    program.dispose();
  }
}

/** `total` ← total + factor · Σ x, unless the sum is negative. Outputs the total before, and the sum. */
const addUp: Step<'x' | 'factor', 'before' | 'sum'> = ({ feeds: { x, factor }, variables, when }) => {
  const total = variables.get('total')!;
  const before = tf.mul(total, 1);
  const sum = tf.sum(x);
  when(tf.greaterEqual(sum, 0), () => {
    total.assign(tf.add(total, tf.mul(sum, factor)));
  });
  return { before, sum };
};
const addUpSignature = { name: 'add-up', feeds: { x: rows, factor: scalar }, updates: ['total'] } as const;

function variableOf(program: Program, name: string): number[] {
  const [entry] = [...program.read([name])];
  expect(entry?.[0]).toBe(name);
  return [...entry![1]];
}

describeOnEachBackend('a program', () => {
  it('keeps variables from call to call, and takes feeds of sizes that vary', () => {
    withProgram((program) => {
      program.declare([{ name: 'total', shape: [] }]);
      const step = program.compile(addUp, addUpSignature);
      const run = (x: number[], factor: number) => {
        const { before, sum } = step({ x: Float32Array.from(x), factor: Float32Array.of(factor) });
        return [before[0], sum[0]];
      };
      expect(run([1, 2], 1)).toEqual([0, 3]);
      expect(run([1, 2, 3, 4], 10)).toEqual([3, 10]);
      expect(variableOf(program, 'total')).toEqual([103]);
      // The condition does not hold: nothing is assigned.
      expect(run([-5, 1], 1)).toEqual([103, -4]);
      expect(run([0, 0], 1)).toEqual([103, 0]);
    });
  });

  it('computes with a size that varies where an operation needs it as a value', () => {
    withProgram((program) => {
      const step = program.compile(
        ({ feeds: { x, rows: places, seed } }) => ({
          dropped: dropout(x, { seed, site: 0, rate: 0.5 }),
          sums: tf.unsortedSegmentSum(
            x,
            tf.where<tf.Tensor>(
              tf.equal(places, tf.scalar(7, 'int32')),
              tf.scalar(-1, 'int32'),
              places,
            ) as tf.Tensor1D,
            x.shape[0],
          ),
        }),
        {
          name: 'varying',
          feeds: {
            x: { dtype: 'float32', shape: ['rows', 2] },
            rows: { dtype: 'int32', shape: ['rows'] },
            seed: { dtype: 'int32', shape: [2] },
          },
          updates: [],
        },
      );
      const seed = Int32Array.of(3, 4);
      const ones = (numRows: number) => new Float32Array(2 * numRows).fill(1);
      const few = step({ x: ones(3), rows: Int32Array.of(1, 7, 1), seed });
      expect([...few.sums]).toEqual([0, 0, 2, 2, 0, 0]);
      const many = step({ x: ones(50), rows: new Int32Array(50), seed });
      expect(many.dropped).toHaveLength(100);
      // The same draws: a mask goes on where a shorter one ends.
      expect(many.dropped.slice(0, 6)).toEqual(few.dropped);
      expect(new Set(many.dropped)).toEqual(new Set([0, 2]));
      expect([...many.sums.slice(0, 4)]).toEqual([50, 50, 0, 0]);
    });
  });

  it('writes and reads variables of any shape, some of them or all, in the order of their declaration', () => {
    withProgram((program) => {
      program.declare([
        { name: 'a', shape: [2, 3] },
        { name: 'b', shape: [] },
      ]);
      program.declare([{ name: 'c', shape: [1] }]);
      expect([...program.read(['c', 'b', 'a'])].map(([name]) => name)).toEqual(['a', 'b', 'c']);
      expect(variableOf(program, 'a')).toEqual([0, 0, 0, 0, 0, 0]);
      const values = new Map([
        ['a', Float32Array.of(1, 2, 3, 4, 5, 6)],
        ['c', Float32Array.of(7)],
      ]);
      program.write(['a', 'c'], (name) => values.get(name)!);
      values.get('a')!.fill(9);
      expect(variableOf(program, 'a')).toEqual([1, 2, 3, 4, 5, 6]);
      expect(variableOf(program, 'b')).toEqual([0]);
      expect(variableOf(program, 'c')).toEqual([7]);
    });
  });

  it('keeps its variables when steps and variables are added after it has run', () => {
    withProgram((program) => {
      program.declare([{ name: 'total', shape: [] }]);
      const step = program.compile(addUp, addUpSignature);
      step({ x: Float32Array.of(1, 2), factor: Float32Array.of(2) });
      program.declare([{ name: 'late', shape: [2] }]);
      const doubled = program.compile(
        ({ feeds: { y }, variables }) => {
          variables.get('late')!.assign(y);
          return { doubled: tf.mul(variables.get('total')!, 2) };
        },
        { name: 'double', feeds: { y: { dtype: 'float32', shape: [2] } }, updates: ['late'] },
      );
      expect([...doubled({ y: Float32Array.of(4, 5) }).doubled]).toEqual([12]);
      expect(variableOf(program, 'late')).toEqual([4, 5]);
      expect(variableOf(program, 'total')).toEqual([6]);
    });
  });

  it('compiles a name once', () => {
    withProgram((program) => {
      program.declare([{ name: 'total', shape: [] }]);
      const first = program.compile(addUp, addUpSignature);
      expect(program.compile(addUp, addUpSignature)).toBe(first);
    });
  });

  it('goes on after a step that cannot be compiled', () => {
    withProgram((program) => {
      program.declare([{ name: 'total', shape: [] }]);
      let isWrong = true;
      const step: typeof addUp = (scope) => {
        const outputs = addUp(scope);
        if (isWrong) throw new Error('a mistake of the step');
        return outputs;
      };
      const feeds = { x: Float32Array.of(1, 2), factor: Float32Array.of(1) };
      expect(() => program.compile(step, addUpSignature)(feeds)).toThrow('a mistake of the step');
      isWrong = false;
      expect([...program.compile(step, addUpSignature)(feeds).sum]).toEqual([3]);
    });
  });

  it('takes whole numbers, and gives them back', () => {
    withProgram((program) => {
      const step = program.compile(({ feeds: { ids } }) => ({ next: tf.add(ids, tf.scalar(1, 'int32')) }), {
        name: 'next',
        feeds: { ids: { dtype: 'int32', shape: [3] } },
        updates: [],
      });
      expect([...step({ ids: Int32Array.of(1, 2 ** 24 + 1, -3) }).next]).toEqual([2, 2 ** 24 + 2, -2]);
    });
  });

  it('refuses feeds that do not fit the signature', () => {
    withProgram((program) => {
      program.declare([{ name: 'total', shape: [] }]);
      const step = program.compile(addUp, addUpSignature);
      expect(() => step({ x: new Float32Array(3), factor: Float32Array.of(1) })).toThrow(
        'feed "x" got 3 values, expected the shape [rows, 2]',
      );
      expect(() => step({ x: new Float32Array(2), factor: new Float32Array(2) })).toThrow(
        'feed "factor" got 2 values, expected the shape []',
      );
    });
  });

  it('refuses two variables of one name, and values for none', () => {
    withProgram((program) => {
      program.declare([{ name: 'total', shape: [] }]);
      expect(() => {
        program.declare([{ name: 'total', shape: [2] }]);
      }).toThrow('total');
      expect(() => {
        program.write(['other'], () => new Float32Array(1));
      }).toThrow('the program has no variable "other"');
    });
  });

  it('leaves no tensors behind', () => {
    const before = tf.memory().numTensors;
    withProgram((program) => {
      program.declare([{ name: 'total', shape: [] }]);
      const step = program.compile(addUp, addUpSignature);
      const feeds = { x: Float32Array.of(1, 2), factor: Float32Array.of(1) };
      step(feeds);
      const during = tf.memory().numTensors;
      for (let i = 0; i < 5; i += 1) step(feeds);
      expect(tf.memory().numTensors).toBe(during);
    });
    expect(tf.memory().numTensors).toBe(before);
  });
});
