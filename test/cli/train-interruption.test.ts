import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { verifyCheckpoint } from '../../src/train/checkpoint.ts';
import { argumentsOf, runCli, startCli } from '../support/commands.ts';
import { temporaryFolder } from '../support/folders.ts';
import { hubForTest } from '../support/hub-datasets.ts';
import { killTraining } from '../support/train-kills.ts';
import { smallRun, writeTrainingFiles } from '../support/training.ts';

/** A second signal within this time counts as an echo of the first. */
const ECHO_MS = 500;

describe('npm run train', () => {
  it('killed five times at random moments ends with the same curves and bits', {
    timeout: 300_000,
  }, async () => {
    const home = await temporaryFolder();
    const options = { home, backend: 'wasm', precision: 'f32', seed: 11, maxSteps: 500 } as const;
    const result = await killTraining({ ...options, kills: 5 });
    expect(result).toMatchObject({ kills: 5, starts: 6, faults: [] });
  });

  it('stops at once on the second Ctrl-C, in the middle of a checkpoint, without damage', {
    timeout: 300_000,
  }, async () => {
    const folder = await temporaryFolder();
    const files = await writeTrainingFiles(folder);
    // Large enough for its checkpoint to take a while.
    const config = JSON.parse(readFileSync(files.bertConfig, 'utf8')) as object;
    const wide = { ...config, hidden_size: 256, num_hidden_layers: 4, intermediate_size: 1024 };
    writeFileSync(files.bertConfig, JSON.stringify(wide));
    const flags = (out: string) => ({
      ...smallRun(files, join(folder, out)),
      ...{ 'max-steps': 40, 'save-steps': 3, 'eval-steps': 0 },
    });
    const run = flags('run');
    let isCaught = false;
    for (let attempt = 0; attempt < 10 && !isCaught; attempt += 1) {
      const { child, ended } = startCli('train', argumentsOf(run));
      let said = '';
      child.stderr?.on('data', (text: string) => {
        said += text;
      });
      await expect.poll(() => said.includes(': checkpoint '), { interval: 1, timeout: 60_000 }).toBe(true);
      child.kill('SIGINT');
      await expect.poll(() => said.includes('stopping'), { interval: 1, timeout: 60_000 }).toBe(true);
      while (child.exitCode === null && !hasBegunCheckpoint(run.out)) await delay(1);
      child.kill('SIGSTOP');
      isCaught = child.exitCode === null && hasBegunCheckpoint(run.out);
      await delay(ECHO_MS + 100);
      child.kill('SIGINT');
      child.kill('SIGCONT');
      expect((await ended).status).toBe(130);
      isCaught &&= hasBegunCheckpoint(run.out);
      const latest = readFileSync(join(run.out, 'latest'), 'utf8').trim();
      await verifyCheckpoint(join(run.out, latest));
    }
    expect(isCaught).toBe(true);
    const straight = flags('straight');
    const ends = await Promise.all([run, straight].map((one) => runCli('train', argumentsOf(one))));
    expect(ends.map(({ status }) => status)).toEqual([0, 0]);
    expect(hashes(run.out, 40)).toEqual(hashes(straight.out, 40));
  });

  it('goes on while checkpoints cannot be written, and fails when the last one cannot', async () => {
    const folder = await temporaryFolder();
    const flags = smallRun(await writeTrainingFiles(folder), join(folder, 'run'));
    // The model alone has more than 100 kB.
    const { status, stderr } = await runCli('train', argumentsOf(flags), { maxFileBlocks: 200 });
    expect(status).toBe(1);
    const lines = stderr.trim().split('\n');
    const failed = lines.filter((line) => line.includes('cannot write'));
    expect(failed).toHaveLength(4);
    for (const [index, step] of [4, 8, 12].entries()) {
      expect(failed[index]).toMatch(
        new RegExp(`^step ${step}: cannot write the checkpoint \\S+: EFBIG.*; training goes on, older`),
      );
    }
    expect(failed[3]).toMatch(
      /^error: cannot write .*step 12 is not saved, no checkpoint was written yet; make room/,
    );
    expect(readdirSync(flags.out).sort()).toEqual(['metrics.jsonl', 'recipe.json', 'tensorboard']);
    const again = await runCli('train', argumentsOf(flags));
    expect(again.status).toBe(0);
    expect(again.stderr).toContain('it begins anew');
  });

  it('refuses another learning rate without --override, and goes on with it', async () => {
    const folder = await temporaryFolder();
    const flags = { ...smallRun(await writeTrainingFiles(folder), join(folder, 'run')), 'max-steps': 4 };
    expect((await runCli('train', argumentsOf(flags))).status).toBe(0);
    const more = argumentsOf({ ...flags, 'max-steps': 6, lr: 5e-4 });
    const refused = await runCli('train', more);
    expect(refused).toMatchObject({ status: 1, stdout: '' });
    expect(refused.stderr).toMatch(
      /^error: \S+ was trained with other settings: --max-steps was 4, now it is 6; --lr was 0\.001, now it is 0\.0005; use the same, or --override, which goes on from step 4 with those given now\n$/,
    );
    const planned = await runCli('train', [...more, '--override', '--dry-run']);
    expect(planned.stdout).toContain('note: --lr was 0.001, from step 4 on it is 0.0005');
    const overridden = await runCli('train', [...more, '--override']);
    expect(overridden.status).toBe(0);
    expect(overridden.stderr).toContain('finished: 6 updates');
  });

  it('plans and begins with the weights of a checkpoint', async () => {
    const folder = await temporaryFolder();
    const flags = { ...smallRun(await writeTrainingFiles(folder), join(folder, 'run')), 'max-steps': 4 };
    expect((await runCli('train', argumentsOf(flags))).status).toBe(0);
    const checkpoint = join(flags.out, 'checkpoint-4');
    const next = argumentsOf({ ...flags, out: join(folder, 'next'), 'init-from': checkpoint });
    const planned = await runCli('train', [...next, '--dry-run']);
    expect(planned.stdout).toMatch(new RegExp(`start +anew, with the weights of ${checkpoint}\n`));
    const { status, stderr } = await runCli('train', next);
    expect(status).toBe(0);
    expect(stderr).toContain(`new run in ${join(folder, 'next')}, with the weights of ${checkpoint}`);
  });

  it('begins with the weights of a model on the Hub, and says what it waits for', async () => {
    const folder = await temporaryFolder();
    const flags = { ...smallRun(await writeTrainingFiles(folder), join(folder, 'run')), 'max-steps': 4 };
    expect((await runCli('train', argumentsOf(flags))).status).toBe(0);
    const checkpoint = join(flags.out, 'checkpoint-4');
    const names = [
      'config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
      'vocab.txt',
    ];
    const main = Object.fromEntries(names.map((name) => [name, readFileSync(join(checkpoint, name))]));
    const hub = await hubForTest({
      repositories: [{ type: 'model', name: 'org/bert', revisions: { main } }],
    });
    hub.fail({
      match: /model\.safetensors/,
      fault: { kind: 'status', status: 429, headers: { 'Retry-After': '1' } },
    });
    const next = (out: string, initFrom: string) =>
      argumentsOf({ ...flags, out: join(folder, out), 'init-from': initFrom });
    const options = { cwd: folder, env: { HF_ENDPOINT: hub.endpoint } };
    const { status, stderr } = await runCli('train', next('far', 'hub:org/bert'), options);
    expect(stderr).toMatch(/^rate limited by .*, waiting 1\.0 s\nnew run in /);
    expect(status).toBe(0);
    expect((await runCli('train', next('near', checkpoint))).status).toBe(0);
    expect(hashes(join(folder, 'far'), 4)).toEqual(hashes(join(folder, 'near'), 4));
  });
});

function hasBegunCheckpoint(folder: string): boolean {
  return existsSync(folder) && readdirSync(folder).some((name) => name.startsWith('.tmp-checkpoint'));
}

function hashes(folder: string, step: number): readonly string[] {
  return ['model.safetensors', 'optimizer.safetensors'].map((name) =>
    createHash('sha256')
      .update(readFileSync(join(folder, `checkpoint-${step}`, name)))
      .digest('hex'),
  );
}
