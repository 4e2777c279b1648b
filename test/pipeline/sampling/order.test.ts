import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRowOrder, type OrderOptions } from '../../../pipeline/sampling/order.ts';
import { binomialDeviate, uniformDeviate } from '../../support/statistics.ts';

const epochOf = (options: OrderOptions, epoch: number): number[] => {
  const order = createRowOrder(options);
  return Array.from({ length: options.numRows }, (_, i) => order.rowAt(epoch * options.numRows + i));
};
const anyOptions = fc.record({
  numRows: fc.integer({ min: 1, max: 700 }),
  rowsPerGroup: fc.integer({ min: 1, max: 40 }),
  windowGroups: fc.integer({ min: 1, max: 20 }),
  seed: fc.maxSafeNat(),
});

describe('createRowOrder', () => {
  it('keeps its order for a fixed seed: checkpoints depend on it', () => {
    const options = { numRows: 23, rowsPerGroup: 4, windowGroups: 3, seed: 42 };
    expect([0, 1, 1000].map((epoch) => epochOf(options, epoch).join(' '))).toMatchInlineSnapshot(`
      [
        "13 10 11 8 15 7 5 4 14 6 9 12 19 20 17 2 18 16 3 21 22 1 0",
        "6 22 8 9 20 21 7 4 11 10 5 1 19 16 14 15 3 18 2 17 12 13 0",
        "21 15 13 10 12 9 14 8 22 11 20 4 5 1 7 16 18 19 0 2 6 17 3",
      ]
    `);
    const large = createRowOrder({ numRows: 18_000_000, rowsPerGroup: 256, windowGroups: 128, seed: 42 });
    expect(
      [0, 1, 2, 32_767, 32_768, 17_999_999, 18_000_000].map((position) => large.rowAt(position)).join(' '),
    ).toMatchInlineSnapshot(`"17133534 2678933 9323832 6341316 17145332 3470658 12114223"`);
  });

  it('gives each row exactly once per epoch, the short last group included', () => {
    fc.assert(
      fc.property(anyOptions, fc.nat(50), (options, epoch) => {
        const rows = epochOf(options, epoch).sort((a, b) => a - b);
        expect(rows).toEqual(Array.from({ length: options.numRows }, (_, i) => i));
      }),
      { numRuns: 300 },
    );
  });

  it('is a function of the position: any place computed alone equals the run', () => {
    fc.assert(
      fc.property(
        anyOptions,
        fc.array(fc.nat(2000), { minLength: 1, maxLength: 20 }),
        (options, positions) => {
          const jumping = createRowOrder(options);
          for (const position of positions) {
            expect(jumping.rowAt(position)).toBe(createRowOrder(options).rowAt(position));
          }
        },
      ),
    );
  });

  it('touches only the groups of the current window, at most windowGroups of them', () => {
    fc.assert(
      fc.property(anyOptions, fc.nat(3), (options, epoch) => {
        const order = createRowOrder(options);
        const numGroups = Math.ceil(options.numRows / options.rowsPerGroup);
        const begin = epoch * options.numRows;
        const seen: number[] = [];
        let numWindows = 0;
        for (let position = begin; position < begin + options.numRows; ) {
          const window = order.windowAt(position);
          expect(window.start).toBe(position);
          expect(window.epoch).toBe(epoch);
          expect(window.groups.length).toBeLessThanOrEqual(options.windowGroups);
          for (let i = 0; i < window.numRows; i += 1) {
            expect(window.groups).toContain(order.placeAt(position + i).group);
          }
          seen.push(...window.groups);
          position += window.numRows;
          numWindows += 1;
        }
        expect(numWindows).toBe(Math.ceil(numGroups / options.windowGroups));
        expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: numGroups }, (_, i) => i));
      }),
      { numRuns: 60 },
    );
  });

  it('differs between epochs and seeds', () => {
    const options = { numRows: 500, rowsPerGroup: 16, windowGroups: 4, seed: 1 };
    const orders = [epochOf(options, 0), epochOf(options, 1), epochOf({ ...options, seed: 2 }, 0)];
    expect(new Set(orders.map((rows) => rows.join())).size).toBe(3);
  });

  describe('over a whole dataset of 100,000 rows', () => {
    const options = { numRows: 100_000, rowsPerGroup: 64, windowGroups: 32, seed: 7 };
    const rows = epochOf(options, 0);

    it('displaces rows as far as a uniform shuffle does, a third of the dataset on average', () => {
      const displacement = rows.reduce((sum, row, i) => sum + Math.abs(row - i), 0) / rows.length;
      expect(displacement / options.numRows).toBeGreaterThan(0.31);
      expect(displacement / options.numRows).toBeLessThan(0.355);
    });

    it('follows a row by one of its own group no more often than chance within the window', () => {
      const groups = rows.map((row) => Math.floor(row / options.rowsPerGroup));
      let same = 0;
      for (let i = 1; i < groups.length; i += 1) if (groups[i] === groups[i - 1]) same += 1;
      const share = (options.rowsPerGroup - 1) / (options.rowsPerGroup * options.windowGroups - 1);
      expect(Math.abs(binomialDeviate(same, groups.length - 1, share))).toBeLessThan(4);
    });

    it('leaves hardly a row beside its neighbour in the text', () => {
      let neighbours = 0;
      for (let i = 1; i < rows.length; i += 1) if (Math.abs(rows[i]! - rows[i - 1]!) === 1) neighbours += 1;
      expect(neighbours).toBeLessThan(
        2.5 * (options.numRows / (options.rowsPerGroup * options.windowGroups)),
      );
    });

    it('mixes within each window uniformly: each eighth of it holds each group equally often', () => {
      const order = createRowOrder(options);
      const { start, numRows, groups } = order.windowAt(0);
      const cells = new Float64Array(groups.length * 8);
      for (let epoch = 0; epoch < 20; epoch += 1) {
        const begin = start + epoch * options.numRows;
        const window = order.windowAt(begin);
        for (let i = 0; i < numRows; i += 1) {
          const group = window.groups.indexOf(order.placeAt(begin + i).group);
          cells[group * 8 + Math.floor((i * 8) / numRows)]! += 1;
        }
      }
      expect(Math.abs(uniformDeviate(cells))).toBeLessThan(4);
    });
  });

  it('answers anywhere in a dataset of 4 billion rows without an index', () => {
    const before = process.memoryUsage().heapUsed;
    const options = { numRows: 4_000_000_000, rowsPerGroup: 256, windowGroups: 128, seed: 3 };
    const order = createRowOrder(options);
    const started = performance.now();
    for (let i = 0; i < 1000; i += 1) expect(order.rowAt(i * 9_999_991)).toBeLessThan(options.numRows);
    expect(performance.now() - started).toBeLessThan(2000);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(200 << 20);
  });

  it.each(['numRows', 'rowsPerGroup', 'windowGroups'] as const)('refuses a %s of 0', (name) => {
    const options = { numRows: 4, rowsPerGroup: 2, windowGroups: 2, seed: 1 };
    expect(() => createRowOrder({ ...options, [name]: 0 })).toThrow(name);
  });
});
