import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fileVersionRecord, scalarsRecord } from '../../../src/train/tensorboard.ts';
import { decodeEventFile } from '../../support/event-files.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { updateLine, validationLine } from '../../support/metrics-lines.ts';
import { findPython } from '../../support/python.ts';

const NOW = 1_700_000_000_250;
const decode = (...records: readonly Uint8Array[]) => decodeEventFile(Buffer.concat(records));

describe('event files', () => {
  it('hold losses, accuracies, learning rate, gradient norm and speed of an update', () => {
    const line = { ...updateLine(3), tcLoss: 2.5, tcAccuracy: 0.75 };
    expect(decode(scalarsRecord(line, NOW))).toEqual([
      {
        wallTime: NOW / 1000,
        step: 3,
        fileVersion: undefined,
        values: new Map([
          ['train/loss', Math.fround(1 / 3)],
          ['train/mlm_loss', Math.fround(1 / 3)],
          ['train/mlm_accuracy', 0.5],
          ['train/tc_loss', 2.5],
          ['train/tc_accuracy', 0.75],
          ['train/learning_rate', Math.fround(0.1)],
          ['train/grad_norm', 1],
          ['train/tokens_per_second', 100],
        ]),
      },
    ]);
  });

  it('hold the values of an evaluation, of step 0 too, and those of MLM alone', () => {
    const [event] = decode(scalarsRecord(validationLine(0), NOW));
    expect(event).toMatchObject({ step: 0, wallTime: NOW / 1000 });
    expect(Object.fromEntries(event!.values)).toEqual({
      'validation/mlm_loss': 3,
      'validation/perplexity': 20,
      'validation/mlm_accuracy': 0.125,
      'validation/tc_loss': 2,
      'validation/tc_accuracy': 0.25,
    });
    const tags = [...decode(scalarsRecord(updateLine(1), NOW))[0]!.values.keys()];
    expect(tags.filter((tag) => tag.includes('tc_'))).toEqual([]);
    expect(tags).toContain('train/mlm_loss');
  });

  it('decode to what was written, whatever the step and the value, in records of one length a step', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.float(), fc.nat(), (step, loss, now) => {
        const record = scalarsRecord(updateLine(step, loss), now);
        const [event] = decode(record);
        expect(event!.step).toBe(step);
        expect(event!.values.get('train/loss')).toBe(loss);
        expect(record.length).toBe(scalarsRecord(updateLine(step, 0), 2 * now).length);
      }),
    );
  });

  it('are read by TensorFlow', async ({ skip }) => {
    const python = findPython(['tensorflow']);
    if (python === undefined) return skip('no Python with tensorflow');
    const path = join(await temporaryFolder(), 'events.out.tfevents.run');
    const lines = [updateLine(1), validationLine(1), updateLine(300, Number.NaN), updateLine(2 ** 40)];
    writeFileSync(
      path,
      Buffer.concat([fileVersionRecord(NOW), ...lines.map((line) => scalarsRecord(line, NOW))]),
    );
    const script = `
import json, sys
from tensorflow.compat.v1.train import summary_iterator
print(json.dumps([[e.wall_time, e.step, e.file_version, [[v.tag, v.simple_value] for v in e.summary.value]]
  for e in summary_iterator(sys.argv[1])]).replace('NaN', 'null'))`;
    const stdout = execFileSync(python, ['-c', script, path], { encoding: 'utf8' });
    const read = JSON.parse(stdout) as [number, number, string, [string, number | null][]][];
    const expected = decode(fileVersionRecord(NOW), ...lines.map((line) => scalarsRecord(line, NOW)));
    expect(read).toHaveLength(5);
    expect(read).toEqual(
      expected.map(({ wallTime, step, fileVersion, values }) => [
        wallTime,
        step,
        fileVersion ?? '',
        [...values].map(([tag, value]) => [tag, Number.isNaN(value) ? null : value]),
      ]),
    );
  }, 120_000);
});
