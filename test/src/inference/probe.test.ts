import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GeometrySums, probe, type Probed } from '../../../src/inference/probe.ts';
import type { TokenRows } from '../../../src/inference/inference-session.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { rejectionOf } from '../../support/sources.ts';
import { madeUpTokenizer, writeTrainingFiles } from '../../support/training.ts';

const SIZE = 4;

/** A unit vector for each angle, in the plane of the first two units. */
function circle(angles: readonly number[]): Float32Array {
  return Float32Array.from(angles.flatMap((angle) => [Math.cos(angle), Math.sin(angle), 0, 0]));
}

describe('GeometrySums', () => {
  it('follows the definitions', () => {
    const angles = fc.array(fc.double({ min: 0, max: 6.28, noNaN: true }), { minLength: 4, maxLength: 12 });
    fc.assert(
      fc.property(angles, (points) => {
        const last = points.length - 1;
        const anchors = Int32Array.of(0, last);
        const positives = Int32Array.of(1, last - 1);
        const negatives = Int32Array.of(2, 3, 0, 1);
        const sums = new GeometrySums();
        sums.add(circle(points), { anchors, positives, negatives }, SIZE);
        const difference = (a: number, b: number) => points[a]! - points[b]!;
        const distance = (a: number, b: number) => 4 * Math.sin(difference(a, b) / 2) ** 2;
        const random = [...negatives].map((other, at) => [anchors[at >> 1]!, other] as const);
        const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
        const { alignment, uniformity, cosine } = sums.result();
        expect(alignment).toBeCloseTo(mean([distance(0, 1), distance(last, last - 1)]), 4);
        expect(uniformity).toBeCloseTo(
          Math.log(mean(random.map(([a, b]) => Math.exp(-2 * distance(a, b))))),
          4,
        );
        expect(cosine).toBeCloseTo(mean(random.map(([a, b]) => Math.cos(difference(a, b)))), 4);
        expect([sums.numNear, sums.numRandom]).toEqual([2, 4]);
      }),
    );
  });
});

/** A model whose h depends on the row alone and whose x is 0, at rows longer than those given. */
function rowModel(seen: TokenRows[] = []): Probed {
  return {
    reference: 'rows',
    tokenizer: { spec: madeUpTokenizer(1100) },
    config: { hiddenSize: SIZE, maxPositions: 64 },
    session: {
      hiddenStates(rows) {
        seen.push(rows);
        const rowLength = 32;
        const { batchSize } = rows;
        const angles = Array.from({ length: batchSize * rowLength }, (_, at) =>
          at % rowLength < rows.maxSeqLen ? (Math.PI / 2) * (Math.floor(at / rowLength) % 2) : Number.NaN,
        );
        const embedded = new Float32Array(angles.length * SIZE);
        return { rowLength, embedded, hidden: circle(angles).map((value) => 3 * value) };
      },
    },
  };
}

const options = { maxRows: 12, seed: 0, signal: new AbortController().signal };

describe('probe', () => {
  it('takes near pairs from one row and random ones from others, of text without masks', async () => {
    const { data } = await writeTrainingFiles(await temporaryFolder());
    const seen: TokenRows[] = [];
    const result = await probe(rowModel(seen), { ...options, data: [data] });
    expect(result.numRows).toBe(12);
    expect(result.hidden.alignment).toBeCloseTo(0, 6);
    // Rows point in two directions, and random pairs join different rows: some of them perpendicular.
    expect(result.hidden.cosine).toBeGreaterThan(0.3);
    expect(result.hidden.cosine).toBeLessThan(0.6);
    const { cosine, uniformity } = result.hidden;
    expect(uniformity).toBeCloseTo(Math.log(cosine + (1 - cosine) * Math.exp(-4)), 5);
    expect(result.global).toEqual(result.hidden);
    const { mask } = madeUpTokenizer(1100).specialTokenIds;
    expect(seen.length).toBeGreaterThan(0);
    for (const { inputIds } of seen) expect(inputIds).not.toContain(mask);
  });

  it('gives the same for the same seed, other pairs for another', async () => {
    const { data } = await writeTrainingFiles(await temporaryFolder());
    const run = (seed: number) => probe(rowModel(), { ...options, seed, data: [data] });
    expect(await run(3)).toEqual(await run(3));
    expect((await run(3)).hidden.cosine).not.toBe((await run(4)).hidden.cosine);
  });

  it('says how far it is, and stops between batches', async () => {
    const { data } = await writeTrainingFiles(await temporaryFolder(), {
      validation: [80],
      rowsPerGroup: 80,
    });
    const done: (readonly [number, number])[] = [];
    const abort = new AbortController();
    const onProgress = (numRows: number, totalRows: number): void => {
      done.push([numRows, totalRows]);
    };
    await probe(rowModel(), { ...options, maxRows: 48, data: [data], onProgress });
    expect(done.splice(0)).toEqual([
      [16, 48],
      [32, 48],
      [48, 48],
    ]);
    const stopped = probe(rowModel(), {
      ...options,
      maxRows: 48,
      data: [data],
      signal: abort.signal,
      onProgress: (...progress) => {
        onProgress(...progress);
        setImmediate(() => {
          abort.abort();
        });
      },
    });
    await expect(stopped).rejects.toThrow('aborted');
    expect(done).toEqual([[16, 48]]);
  });

  it('refuses what does not go together in one line', async () => {
    const folder = await temporaryFolder();
    const { data } = await writeTrainingFiles(folder);
    const refusal = async (model: Probed, of = data): Promise<string> =>
      (await rejectionOf(probe(model, { ...options, data: [of] }))).message;
    const other = { ...rowModel(), tokenizer: { spec: madeUpTokenizer(900) } };
    expect(await refusal(other)).toMatch(
      /was made with another vocabulary \(1100 words\) than that of rows \(900 words\)/,
    );
    const short = { ...rowModel(), config: { hiddenSize: SIZE, maxPositions: 8 } };
    expect(await refusal(short)).toMatch(/have 16 tokens, rows takes at most 8; prepare/);
    await mkdir(join(folder, 'one'));
    const one = await writeTrainingFiles(join(folder, 'one'), { validation: [1] });
    expect(await refusal(rowModel(), one.data)).toMatch(/has 1 validation rows, expected at least 2/);
  });
});
