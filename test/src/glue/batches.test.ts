import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../pipeline/random.ts';
import {
  assembleBatch,
  type BatchMode,
  type EpochOptions,
  paddedLengthsUpTo,
  planEpoch,
} from '../../../src/glue/batches.ts';
import { encodeExamples } from '../../../src/glue/encode.ts';
import { uncasedTokenizer } from '../../support/glue.ts';
import { rankCorrelation, uniformDeviate } from '../../support/statistics.ts';

const PADDED = [32, 64, 96, 128];
const options = (more: Partial<EpochOptions> = {}): EpochOptions => ({
  batchSize: 16,
  paddedLengths: PADDED,
  mode: 'bucketed',
  seed: 123,
  epoch: 1,
  ...more,
});

/** Lengths like those of a task of pairs: most short, few long. */
const LENGTHS = Uint32Array.from({ length: 2003 }, (_, row) => {
  const random = new Random(9, row);
  return 4 + Math.min(random.below(125), random.below(125));
});
const rowsOf = (plan: ReturnType<typeof planEpoch>): readonly number[] =>
  plan.flatMap(({ rows }) => [...rows]);

describe('planEpoch', () => {
  it('visits every example once, in ⌈examples / B⌉ batches of few lengths', () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 128 }), { maxLength: 120 });
    const size = fc.integer({ min: 1, max: 20 });
    fc.assert(
      fc.property(lengths, size, fc.nat(), fc.nat(), (list, batchSize, seed, epoch) => {
        for (const mode of ['bucketed', 'plain'] satisfies BatchMode[]) {
          const plan = planEpoch(list, options({ batchSize, seed, epoch, mode }));
          expect(plan).toHaveLength(Math.ceil(list.length / batchSize));
          expect([...rowsOf(plan)].sort((a, b) => a - b)).toEqual(list.map((_, row) => row));
          expect(plan.filter(({ rows }) => rows.length !== batchSize).length).toBeLessThanOrEqual(1);
          for (const { rows, length } of plan) {
            const longest = Math.max(...[...rows].map((row) => list[row]!));
            expect(length).toBeGreaterThanOrEqual(longest);
            expect(length).toBe(mode === 'plain' ? 128 : PADDED.find((padded) => padded >= longest));
          }
        }
      }),
    );
  });

  it('is a function of seed and epoch, with another order for each', () => {
    const plan = (seed: number, epoch: number) => planEpoch(LENGTHS, options({ seed, epoch }));
    expect(plan(1, 1)).toEqual(plan(1, 1));
    const orders = [plan(1, 1), plan(1, 2), plan(2, 1), plan(0, 1)].map((each) => rowsOf(each).join());
    expect(new Set(orders).size).toBe(4);
    expect(planEpoch(LENGTHS.slice(0, 24), options({ mode: 'plain', batchSize: 24 }))[0]!.rows.join()).toBe(
      '3,20,19,6,22,23,0,16,9,12,18,8,21,13,15,17,7,2,10,11,1,4,5,14',
    );
  });

  it.each(['bucketed', 'plain'] satisfies BatchMode[])('mixes the order well: %s', (mode) => {
    const numEpochs = 40;
    const epochs = Array.from({ length: numEpochs }, (_, epoch) =>
      rowsOf(planEpoch(LENGTHS, options({ epoch, mode }))),
    );
    // Over many epochs: where an example comes says nothing of its number or its length.
    const places = epochs.map((order) => {
      const place = new Uint32Array(order.length);
      for (const [at, row] of order.entries()) place[row] = at;
      return place;
    });
    const byLength = Uint32Array.from(LENGTHS.keys()).sort((a, b) => LENGTHS[a]! - LENGTHS[b]! || a - b);
    const lengthRank = Uint32Array.from(byLength);
    const mean = (list: readonly number[]) => list.reduce((sum, value) => sum + value, 0) / list.length;
    const correlations = places.map((place) => rankCorrelation(place));
    const lengthCorrelations = places.map((place) =>
      rankCorrelation(Uint32Array.from(lengthRank, (row) => place[row]!)),
    );
    // Batches of like length move together: 2003 examples count as some 125.
    const deviation = (values: readonly number[], independent: number) =>
      mean(values) * Math.sqrt(independent * numEpochs);
    expect(Math.abs(deviation(correlations, LENGTHS.length))).toBeLessThan(4);
    expect(Math.abs(deviation(lengthCorrelations, mode === 'plain' ? LENGTHS.length : 125))).toBeLessThan(4);
    // An example comes in every eighth of the epoch equally often.
    const eighths = new Float64Array(8);
    const shortest = byLength.slice(0, 200);
    const longest = byLength.slice(-200);
    for (const some of [shortest, longest]) {
      eighths.fill(0);
      for (const place of places) {
        for (const row of some) eighths[Math.floor((8 * place[row]!) / LENGTHS.length)]! += 1 / 16;
      }
      expect(uniformDeviate(eighths)).toBeLessThan(4);
    }
  });

  it('puts the batch that is not full anywhere', () => {
    const quarters = new Float64Array(4);
    for (let epoch = 0; epoch < 200; epoch += 1) {
      const plan = planEpoch(LENGTHS, options({ epoch }));
      const place = plan.findIndex(({ rows }) => rows.length < 16);
      quarters[Math.floor((4 * place) / plan.length)]! += 1;
    }
    expect(quarters.reduce((sum, count) => sum + count, 0)).toBe(200);
    expect(uniformDeviate(quarters)).toBeLessThan(4);
  });

  it('gives an example other neighbours each epoch', () => {
    const neighbours = (epoch: number) =>
      new Set(
        planEpoch(LENGTHS, options({ epoch })).flatMap(({ rows }) => {
          const sorted = [...rows].sort((a, b) => a - b);
          return sorted.flatMap((a, at) => sorted.slice(at + 1).map((b) => `${a} ${b}`));
        }),
      );
    const first = neighbours(1);
    const both = [...neighbours(2)].filter((pair) => first.has(pair)).length;
    // By chance a pair of one bucket meets again with probability 15 / (size of the bucket − 1).
    const sizes = [0, 0, 0, 0];
    for (const length of LENGTHS) sizes[PADDED.findIndex((padded) => padded >= length)]! += 1;
    const expected = sizes.reduce((sum, size) => sum + (size * 15 * 15) / (2 * (size - 1)), 0);
    expect(both).toBeGreaterThan(expected / 2);
    expect(both).toBeLessThan(expected * 2);
  });

  it('pads much less in buckets', () => {
    const tokens = (mode: BatchMode) =>
      planEpoch(LENGTHS, options({ mode })).reduce((sum, { length }) => sum + 16 * length, 0);
    expect(tokens('bucketed') / tokens('plain')).toBeLessThan(0.5);
  });

  it('refuses what does not fit', () => {
    expect(() => planEpoch([10, 129], options())).toThrow('example 1 has 129 tokens, expected at most 128');
    expect(() => planEpoch([10], options({ batchSize: 0 }))).toThrow('batches of 0 rows');
    expect(planEpoch([], options())).toEqual([]);
  });
});

describe('paddedLengthsUpTo', () => {
  it('goes up in steps of 32 to the length itself', () => {
    expect(paddedLengthsUpTo(128)).toEqual(PADDED);
    expect(paddedLengthsUpTo(100)).toEqual([32, 64, 96, 100]);
    expect(paddedLengthsUpTo(16)).toEqual([16]);
  });
});

describe('assembleBatch', () => {
  it('fills a batch up with its first example at weight 0', () => {
    const tokenizer = uncasedTokenizer();
    const texts = ['one', 'one two', 'one two three'];
    const examples = texts.map((text, index) => ({ index: 10 + index, texts: [text], label: index }));
    const encoded = encodeExamples(examples, tokenizer, 16);
    const batch = assembleBatch(encoded, { rows: Uint32Array.of(2, 0), length: 6 }, 4, 0);
    expect([...batch.rows_B]).toEqual([2, 0, 2, 2]);
    expect([...batch.weights_B]).toEqual([1, 1, 0, 0]);
    expect([...batch.labels_B]).toEqual([2, 0, 2, 2]);
    expect(batch.numExamples).toBe(2);
    const [one, two, three] = [...tokenizer.encode('one two three')];
    const long = [101, one, two, three, 102, 0];
    expect([...batch.ids_N]).toEqual([...long, 101, one, 102, 0, 0, 0, ...long, ...long]);
    expect(batch.attentionMask_N).toHaveLength(24);
  });
});
