import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readManifest } from '../pipeline/shards/manifest.ts';
import { readMetrics } from '../src/train/metrics.ts';
import { argumentsOf, runCli } from './support/commands.ts';
import { temporaryFolder } from './support/folders.ts';
import { startTestHub } from './support/hub/server.ts';

const sharedHub = join(import.meta.dirname, '../../shared/hub');
const note = existsSync(sharedHub) ? '' : ' (skipped: there is no ../shared/hub)';

describe.skipIf(note !== '')(`from the Hub to a trained model${note}`, () => {
  it('prepares Wikipedia and BookCorpus and trains tiny TACO on them', async () => {
    const hub = await startTestHub({ root: sharedHub });
    onTestFinished(() => hub.close());
    const cwd = await temporaryFolder();
    const env = { HF_ENDPOINT: hub.endpoint };
    const run = async (name: string, flags: Readonly<Record<string, string | number>>): Promise<string> => {
      const { status, stderr } = await runCli(name, argumentsOf(flags), { cwd, env });
      expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
      return stderr;
    };

    await run('prepare-data', { 'max-seq-len': 128, out: 'data', 'rows-per-shard': 32_768 });
    const manifest = await readManifest(join(cwd, 'data'));
    expect(manifest?.totals.documents).toBeGreaterThan(500_000);
    expect(manifest?.totals.validationRows).toBeGreaterThan(100);
    expect(manifest!.totals.unknownTokens / manifest!.totals.tokens).toBeLessThan(1e-4);
    // Only the text column is read, and every byte of it once.
    expect(hub.bytesSent()).toBeLessThan(1.05 * 46_200_000);

    hub.resetLog();
    const settings = { model: 'tiny', 'batch-size': 16, 'grad-accum': 1, lr: 2e-3, 'warmup-steps': 4 };
    const stderr = await run('train', {
      ...settings,
      data: 'data',
      out: 'run',
      'max-steps': 20,
      'eval-steps': 20,
      'eval-rows': 32,
    });
    expect(stderr).toContain('finished: 20 updates');
    expect(hub.requests).toEqual([]);
    const metrics = await readMetrics(join(cwd, 'run', 'metrics.jsonl'));
    expect(metrics.filter(({ type }) => type === 'update')).toHaveLength(20);
    const [before, after] = metrics.filter((line) => line.type === 'validation');
    expect(after?.mlmLoss).toBeLessThan(before!.mlmLoss! - 0.5);
    expect(after?.tcLoss).toBeLessThan(Math.log(51));
  }, 240_000);
});
