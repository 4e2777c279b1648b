import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readMetrics } from '../../../src/train/metrics.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { updateLine } from '../../support/metrics-lines.ts';

describe('readMetrics', () => {
  it('leaves out a torn last line, and names any other bad one', async () => {
    const path = join(await temporaryFolder(), 'metrics.jsonl');
    writeFileSync(path, `${JSON.stringify(updateLine(1))}\n{"type":"upd`);
    expect(await readMetrics(path)).toEqual([updateLine(1)]);
    writeFileSync(path, `${JSON.stringify(updateLine(1))}\nnonsense\n`);
    await expect(readMetrics(path)).rejects.toThrow(`line 2 of ${path} is not a metric of a run`);
    expect(readFileSync(path, 'utf8')).toContain('nonsense');
  });

  it('of a run that is not there are none', async () => {
    expect(await readMetrics(join(await temporaryFolder(), 'absent'))).toEqual([]);
  });
});
