import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readMetrics } from '../../src/train/metrics.ts';
import { runCli } from '../support/commands.ts';
import { temporaryFolder } from '../support/folders.ts';

/** Any use of the Hub would fail at once. */
const env = { HF_ENDPOINT: 'http://127.0.0.1:9' };

describe('npm run quickstart', () => {
  it('prepares, trains, evaluates and fills a mask without network, and knows when it is done', async () => {
    const cwd = await temporaryFolder();
    const args = ['--max-steps', '18'];
    const first = await runCli('quickstart', args, { cwd, env });
    expect(first).toMatchObject({ status: 0, signal: null });

    const metrics = await readMetrics(join(cwd, 'runs', 'quickstart', 'metrics.jsonl'));
    const evaluations = metrics.filter((line) => line.type === 'validation');
    expect(evaluations.map(({ step }) => step)).toEqual([0, 6, 12, 18]);
    const [start, end] = [evaluations[0]!, evaluations[3]!];
    expect(start.mlmLoss).toBeCloseTo(Math.log(30_522), 1);
    expect(end.mlmLoss).toBeLessThan(start.mlmLoss! - 0.5);
    expect(end.tcLoss).toBeLessThan(Math.log(51));

    expect(first.stdout).toContain('The people of the United [MASK] are free.');
    expect(first.stdout.match(/^ +\d+\.\d % {2}\S+$/gm)).toHaveLength(5);
    for (const name of ['shards', 'checkpoint', 'metrics', 'loss plot']) {
      const [, path] = new RegExp(`^${name} +(\\S+)$`, 'm').exec(first.stdout) ?? [];
      expect(existsSync(join(cwd, path ?? 'absent'))).toBe(true);
    }
    expect(readFileSync(join(cwd, 'runs', 'quickstart', 'loss.svg'), 'utf8')).toContain('TC loss');

    const second = await runCli('quickstart', args, { cwd, env });
    expect(second.status).toBe(0);
    expect(second.stderr).toContain('quickstart has already made 18 of 18 updates');
    expect(second.stdout).toBe(first.stdout);
  }, 180_000);
});
