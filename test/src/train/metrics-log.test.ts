import { readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readMetrics } from '../../../src/train/metrics.ts';
import { type LogPositions, MetricsLog } from '../../../src/train/metrics-log.ts';
import { runFiles } from '../../../src/train/run-folder.ts';
import { readEventFile } from '../../support/event-files.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { updateLine, validationLine } from '../../support/metrics-lines.ts';

const start: LogPositions = { metricsBytes: 0, tensorboardBytes: 0 };

async function openLog(runFolder: string, from = start) {
  const notes: string[] = [];
  const note = (text: string): void => {
    notes.push(text);
  };
  return { log: await MetricsLog.open({ runFolder, from, note, now: () => 1_700_000_000_500 }), notes };
}

async function stepsIn(folder: string) {
  const metrics = await readMetrics(join(folder, runFiles.metrics));
  const events = await readEventFile(join(folder, runFiles.tensorboard));
  expect(events[0]).toMatchObject({ fileVersion: 'brain.Event:2', wallTime: 1_700_000_000.5 });
  return {
    metrics: metrics.map(({ step }) => step),
    tensorboard: events.slice(1).map(({ step }) => step),
  };
}

describe('the metrics of a run', () => {
  it('are read back as written', async () => {
    const folder = await temporaryFolder();
    const { log } = await openLog(folder);
    const lines = [updateLine(1), updateLine(2), validationLine(2)];
    for (const line of lines) await log.append(line);
    await log.close();
    expect(await readMetrics(join(folder, runFiles.metrics))).toEqual(lines);
    expect(await stepsIn(folder)).toEqual({ metrics: [1, 2, 2], tensorboard: [1, 2, 2] });
  });

  it('have null where a number is not finite', async () => {
    const folder = await temporaryFolder();
    const { log } = await openLog(folder);
    for (const loss of [Number.NaN, Number.POSITIVE_INFINITY]) await log.append(updateLine(1, loss));
    await log.close();
    const lines = await readMetrics(join(folder, runFiles.metrics));
    expect(lines.map((line) => line.mlmLoss)).toEqual([null, null]);
    const events = await readEventFile(join(folder, runFiles.tensorboard));
    expect(events.slice(1).map(({ values }) => values.get('train/loss'))).toEqual([
      Number.NaN,
      Number.POSITIVE_INFINITY,
    ]);
  });

  it('have neither gaps nor repetitions when a run goes on from any checkpoint', async () => {
    for (let saved = 0; saved <= 4; saved += 1) {
      for (let died = saved; died <= 4; died += 1) {
        const folder = await temporaryFolder();
        const first = await openLog(folder);
        let positions = start;
        for (let step = 1; step <= died; step += 1) {
          await first.log.append(updateLine(step));
          if (step === saved) positions = await first.log.positions();
        }
        await first.log.close();
        const second = await openLog(folder, positions);
        for (let step = saved + 1; step <= 5; step += 1) await second.log.append(updateLine(step));
        await second.log.close();
        expect(second.notes).toEqual([]);
        expect(await stepsIn(folder)).toEqual({ metrics: [1, 2, 3, 4, 5], tensorboard: [1, 2, 3, 4, 5] });
      }
    }
  });

  it('go on when files lost their ends, and say so', async () => {
    const folder = await temporaryFolder();
    const first = await openLog(folder);
    for (const step of [1, 2]) await first.log.append(updateLine(step));
    const positions = await first.log.positions();
    await first.log.close();
    rmSync(join(folder, runFiles.metrics));
    const events = join(folder, runFiles.tensorboard);
    truncateSync(events, statSync(events).size - 3);
    const { log, notes } = await openLog(folder, positions);
    await log.append(updateLine(3));
    await log.close();
    expect(notes).toEqual([
      `${join(folder, runFiles.metrics)} lacks ${positions.metricsBytes} bytes of what was written before the checkpoint; it goes on without them`,
      `${events} lacks 3 bytes of what was written before the checkpoint; it begins anew`,
    ]);
    expect(await stepsIn(folder)).toEqual({ metrics: [3], tensorboard: [3] });
    expect(readFileSync(events).length).toBeGreaterThan(0);
  });
});
