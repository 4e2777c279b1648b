import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRowOrder, type OrderOptions } from '../../../pipeline/sampling/order.ts';
import { binomialDeviate, rankCorrelation, uniformDeviate } from '../../support/statistics.ts';

const epochOf = (options: OrderOptions, epoch: number): number[] => {
  const order = createRowOrder(options);
  return Array.from({ length: options.numRows }, (_, i) => order.rowAt(epoch * options.numRows + i));
};
/** Where each value of a permutation stands. */
const inverseOf = (permutation: readonly number[]): Int32Array => {
  const places = new Int32Array(permutation.length);
  for (const [place, value] of permutation.entries()) places[value] = place;
  return places;
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

  describe('over a dataset of half a million rows, of many windows', () => {
    /** As training has it, but for smaller row groups, so that there are many of them: 61 windows. */
    const options = { numRows: 500_000, rowsPerGroup: 64, windowGroups: 128, seed: 7 };
    const { numRows, rowsPerGroup, windowGroups } = options;
    const windowRows = rowsPerGroup * windowGroups;
    const numGroups = Math.ceil(numRows / rowsPerGroup);
    const epochs = [0, 1].map((epoch) => epochOf(options, epoch));
    /** [num epochs][num rows] position within its epoch of each row. */
    const positions = epochs.map(inverseOf);

    it('displaces rows by a third of the dataset on average, as a uniform shuffle does', () => {
      for (const rows of epochs) {
        const displacement = rows.reduce((sum, row, i) => sum + Math.abs(row - i), 0) / numRows;
        // |i − j| of two uniform places has the mean N / 3 and the standard deviation N / √18; groups move as one.
        const deviation = 1 / Math.sqrt(18 * numGroups);
        expect(Math.abs(displacement / numRows - 1 / 3)).toBeLessThan(4 * deviation);
      }
    });

    it('correlates neither with the text nor with another epoch or seed', () => {
      const bound = 4 / Math.sqrt(numGroups);
      for (const rows of epochs) expect(Math.abs(rankCorrelation(rows))).toBeLessThan(bound);
      const second = Int32Array.from(epochs[0]!, (row) => positions[1]![row]!);
      expect(Math.abs(rankCorrelation(second))).toBeLessThan(bound);
      const otherSeed = inverseOf(epochOf({ ...options, seed: 8 }, 0));
      const seeded = Int32Array.from(epochs[0]!, (row) => otherSeed[row]!);
      expect(Math.abs(rankCorrelation(seeded))).toBeLessThan(bound);
    });

    it.each([
      [1, 'beside each other'],
      [16, 'within 16 rows'],
      [128, 'within a micro-batch of 128'],
      [512, 'within an update of 512'],
    ])(
      'leaves neighbours of the text at most %d apart, %s, as seldom as a uniform shuffle of a window',
      (reach) => {
        for (const position of positions) {
          let together = 0;
          let pairs = 0;
          for (let row = 1; row < numRows; row += 1) {
            if (row % rowsPerGroup === 0) continue; // the next group is shuffled elsewhere
            pairs += 1;
            if (Math.abs(position[row]! - position[row - 1]!) <= reach) together += 1;
          }
          // Of n places, 2 · reach · n − reach · (reach + 1) ordered pairs are that near.
          const share = (reach * (2 * windowRows - reach - 1)) / (windowRows * (windowRows - 1));
          expect(Math.abs(binomialDeviate(together, pairs, share))).toBeLessThan(4);
        }
      },
    );

    it('brings rows of one group into one micro-batch no more often than the window makes them', () => {
      const batchSize = 128;
      // The last window has what is left, here four row groups, which are shuffled among themselves.
      const inWholeWindows = Math.floor(numRows / windowRows) * windowRows;
      for (const rows of epochs) {
        let same = 0;
        let pairs = 0;
        for (let start = 0; start < inWholeWindows; start += batchSize) {
          const groups = rows.slice(start, start + batchSize).map((row) => Math.floor(row / rowsPerGroup));
          const counts = new Map<number, number>();
          for (const group of groups) counts.set(group, (counts.get(group) ?? 0) + 1);
          for (const count of counts.values()) same += (count * (count - 1)) / 2;
          pairs += (batchSize * (batchSize - 1)) / 2;
        }
        const share = (rowsPerGroup - 1) / (windowRows - 1);
        expect(Math.abs(binomialDeviate(same, pairs, share))).toBeLessThan(4);
      }
    });

    it('fills windows with groups from everywhere, others in each epoch', () => {
      const order = createRowOrder(options);
      const windowOf = [0, 1].map((epoch) => {
        const byGroup = new Int32Array(numGroups);
        for (let at = 0, index = 0; at < numRows; index += 1) {
          const window = order.windowAt(epoch * numRows + at);
          for (const group of window.groups) byGroup[group] = index;
          at += window.numRows;
        }
        return byGroup;
      });
      // Groups that are neighbours in the text, and pairs that shared a window before, meet by chance.
      const share = (windowGroups - 1) / (numGroups - 1);
      for (const windows of windowOf) {
        let neighbours = 0;
        for (let group = 1; group < numGroups; group += 1) {
          if (windows[group] === windows[group - 1]) neighbours += 1;
        }
        expect(Math.abs(binomialDeviate(neighbours, numGroups - 1, share))).toBeLessThan(4);
      }
      let again = 0;
      const ofFirst = order.windowAt(0).groups;
      const pairs = (ofFirst.length * (ofFirst.length - 1)) / 2;
      for (const [i, group] of ofFirst.entries()) {
        for (const other of ofFirst.slice(i + 1)) if (windowOf[1]![group] === windowOf[1]![other]) again += 1;
      }
      expect(Math.abs(binomialDeviate(again, pairs, share))).toBeLessThan(4);
    });

    it('shuffles a dataset that fits into a window as a whole', () => {
      const small = { ...options, numRows: windowRows - 17 };
      const position = inverseOf(epochOf(small, 3));
      const near = position.filter((at, row) => row > 0 && Math.abs(at - position[row - 1]!) <= 16).length;
      expect(Math.abs(binomialDeviate(near, small.numRows - 1, 32 / small.numRows))).toBeLessThan(4);
    });

    it('mixes within each window uniformly: each eighth of it holds each group equally often', () => {
      const few = { ...options, numRows: 100_000, windowGroups: 32 };
      const order = createRowOrder(few);
      const { start, numRows: count, groups } = order.windowAt(0);
      const cells = new Float64Array(groups.length * 8);
      for (let epoch = 0; epoch < 20; epoch += 1) {
        const begin = start + epoch * few.numRows;
        const window = order.windowAt(begin);
        for (let i = 0; i < count; i += 1) {
          const group = window.groups.indexOf(order.placeAt(begin + i).group);
          cells[group * 8 + Math.floor((i * 8) / count)]! += 1;
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
