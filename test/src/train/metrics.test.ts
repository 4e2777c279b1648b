import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MetricsWriter, readMetrics, type UpdateLine } from '../../../src/train/metrics.ts';
import { temporaryFolder } from '../../support/folders.ts';

function lineOf(step: number, loss: number | null = 1 / step): UpdateLine {
  return {
    type: 'update',
    step,
    learningRate: 0.1,
    loss,
    mlmLoss: loss,
    mlmAccuracy: 0.5,
    gradNorm: 1,
    skipped: false,
    numTokens: 10 * step,
    tokensPerSecond: 100,
    waitMs: 0.5,
  };
}

describe('metrics', () => {
  it('are read back as written', async () => {
    const path = join(await temporaryFolder(), 'metrics.jsonl');
    const { writer } = await MetricsWriter.open(path, 0);
    const lines = [lineOf(1), lineOf(2)];
    for (const line of lines) await writer.append(line);
    await writer.append({
      type: 'validation',
      step: 2,
      mlmLoss: 3,
      perplexity: 20,
      mlmAccuracy: 0.1,
      tcLoss: 2,
      tcAccuracy: 0.2,
      numRows: 7,
      numMasked: 70,
      durationMs: 1,
    });
    await writer.close();
    const read = await readMetrics(path);
    expect(read).toHaveLength(3);
    expect(read.slice(0, 2)).toEqual(lines);
    expect(read[2]).toMatchObject({ type: 'validation', step: 2, tcLoss: 2 });
  });

  it('write null where a number is not finite', async () => {
    const path = join(await temporaryFolder(), 'metrics.jsonl');
    const { writer } = await MetricsWriter.open(path, 0);
    await writer.append(lineOf(1, Number.NaN));
    await writer.append(lineOf(2, Number.POSITIVE_INFINITY));
    await writer.close();
    expect((await readMetrics(path)).map((line) => line.mlmLoss)).toEqual([null, null]);
  });

  it('are cut where a checkpoint was, torn lines included, and go on from there', async () => {
    const path = join(await temporaryFolder(), 'metrics.jsonl');
    const first = await MetricsWriter.open(path, 0);
    await first.writer.append(lineOf(1));
    await first.writer.append(lineOf(2));
    const position = await first.writer.position();
    await first.writer.append(lineOf(3));
    await first.writer.close();
    appendFileSync(path, '{"type":"upd');

    const second = await MetricsWriter.open(path, position);
    expect(second.missingBytes).toBe(0);
    await second.writer.append(lineOf(3));
    await second.writer.close();
    expect((await readMetrics(path)).map(({ step }) => step)).toEqual([1, 2, 3]);
  });

  it('begin anew at position 0', async () => {
    const path = join(await temporaryFolder(), 'metrics.jsonl');
    writeFileSync(path, 'something older\n');
    const { writer } = await MetricsWriter.open(path, 0);
    await writer.append(lineOf(1));
    await writer.close();
    expect(await readMetrics(path)).toEqual([lineOf(1)]);
  });

  it('say when lines are missing', async () => {
    const path = join(await temporaryFolder(), 'metrics.jsonl');
    writeFileSync(path, '');
    const { writer, missingBytes } = await MetricsWriter.open(path, 300);
    await writer.close();
    expect(missingBytes).toBe(300);
  });

  it('leave out a torn last line when read, and name any other bad one', async () => {
    const path = join(await temporaryFolder(), 'metrics.jsonl');
    writeFileSync(path, `${JSON.stringify(lineOf(1))}\n{"type":"upd`);
    expect(await readMetrics(path)).toEqual([lineOf(1)]);
    writeFileSync(path, `${JSON.stringify(lineOf(1))}\nnonsense\n`);
    await expect(readMetrics(path)).rejects.toThrow(`line 2 of ${path} is not a metric of a run`);
    expect(readFileSync(path, 'utf8')).toContain('nonsense');
  });

  it('of a run that is not there are none', async () => {
    expect(await readMetrics(join(await temporaryFolder(), 'absent'))).toEqual([]);
  });
});
