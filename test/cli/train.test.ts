import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { argumentsOf, runCli, type StartedCommand, startCli, startScript } from '../support/commands.ts';
import { temporaryFolder } from '../support/folders.ts';
import { smallRun, writeTrainingFiles } from '../support/training.ts';
import { readRun } from '../support/training-runs.ts';

/** Steps in a run's metrics, as far as they are written. */
function stepsIn(folder: string): number {
  const path = join(folder, 'metrics.jsonl');
  return existsSync(path) ? readFileSync(path, 'utf8').split('"type":"update"').length - 1 : 0;
}

/** Waits until a command has made so many steps; a command that ends before fails with what it said. */
async function untilStep(folder: string, step: number, { ended }: StartedCommand): Promise<void> {
  const reached = expect
    .poll(() => stepsIn(folder), { interval: 5, timeout: 60_000 })
    .toBeGreaterThanOrEqual(step);
  const early = ended.then(({ status, stderr }) => {
    if (stepsIn(folder) < step) throw new Error(`ended with ${status} before step ${step}: ${stderr}`);
  });
  await Promise.race([reached, early]);
}

describe('npm run train', () => {
  // Far fewer steps than there are between two checkpoints pass while this process waits for its turn.
  it('killed or terminated in the middle, ends with the same bits as if nothing had happened', {
    timeout: 180_000,
  }, async () => {
    const folder = await temporaryFolder();
    const files = await writeTrainingFiles(folder);
    const flags = (out: string) => ({
      ...smallRun(files, join(folder, out)),
      'max-steps': 240,
      'save-steps': 100,
    });
    const straight = flags('straight');
    const expected = runCli('train', argumentsOf(straight));

    const interrupted = flags('interrupted');
    const killed = startCli('train', argumentsOf(interrupted));
    await untilStep(interrupted.out, 103, killed);
    killed.child.kill('SIGKILL');
    expect(await killed.ended).toMatchObject({ signal: 'SIGKILL' });
    expect(readFileSync(join(interrupted.out, 'latest'), 'utf8')).toBe('checkpoint-100\n');

    const terminated = startCli('train', argumentsOf(interrupted));
    await untilStep(interrupted.out, 107, terminated);
    terminated.child.kill('SIGTERM');
    const stopped = await terminated.ended;
    expect(stopped.status).toBe(143);
    expect(stopped.stderr).toContain('checkpoint-100, step 100 of 240');
    const [, step] =
      /stopped at step (\d+) of 240; the same command goes on from there/.exec(stopped.stderr) ?? [];
    expect(Number(step)).toBeGreaterThanOrEqual(107);
    expect(readFileSync(join(interrupted.out, 'latest'), 'utf8')).toBe(`checkpoint-${step ?? ''}\n`);

    const finished = await runCli('train', argumentsOf({ ...interrupted, resume: true }));
    expect(finished.status).toBe(0);
    expect(finished.stderr).toContain('finished: 240 updates');
    expect((await expected).status).toBe(0);
    expect(await readRun(interrupted.out)).toEqual(await readRun(straight.out));
  });

  it.each([
    ['Ctrl-C, which the terminal sends to npm and to its child', 'SIGINT', 130, (pid: number) => -pid],
    ['a SIGTERM for npm alone', 'SIGTERM', 143, (pid: number) => pid],
  ] as const)('stops with a checkpoint on %s', async (_, signal, status, target) => {
    const folder = await temporaryFolder();
    const files = await writeTrainingFiles(folder);
    const flags = { ...smallRun(files, join(folder, 'run')), 'max-steps': 2000 };
    const command = startScript('train', argumentsOf(flags));
    await untilStep(flags.out, 3, command);
    process.kill(target(command.child.pid!), signal);
    const stopped = await command.ended;
    expect(stopped.status).toBe(status);
    const [, step] = /stopped at step (\d+) of 2000/.exec(stopped.stderr) ?? [];
    expect(readFileSync(join(flags.out, 'latest'), 'utf8')).toBe(`checkpoint-${step ?? ''}\n`);
  });

  it('goes on when nobody reads its progress any more', async () => {
    const folder = await temporaryFolder();
    const files = await writeTrainingFiles(folder);
    const flags = smallRun(files, join(folder, 'run'));
    const { child, ended } = startCli('train', argumentsOf(flags));
    child.stderr?.destroy();
    expect((await ended).status).toBe(0);
    expect(stepsIn(flags.out)).toBe(12);
  });

  it('prints a plan and writes nothing with --dry-run', async () => {
    const folder = await temporaryFolder();
    const files = await writeTrainingFiles(folder);
    const flags = smallRun(files, join(folder, 'run'));
    const { status, stdout, stderr } = await runCli('train', [...argumentsOf(flags), '--dry-run']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('40 training rows, 12 for validation, of 16 tokens');
    expect(stdout).toContain('12 of 4 × 2 rows (128 tokens), 2.40 epochs');
    expect(stdout).toContain('TC (K 5, W 5 by the readme rule, τ 0.07, anchors: all)');
    expect(stdout).toMatch(/start +anew/);
    expect(existsSync(flags.out)).toBe(false);
  });

  it('mixes several datasets by weight, as the plan says', async () => {
    const folder = await temporaryFolder();
    const first = await writeTrainingFiles(join(folder, 'first'));
    const second = await writeTrainingFiles(join(folder, 'second'), { seed: 7, train: [9], validation: [5] });
    const { data, ...flags } = smallRun(first, join(folder, 'run'));
    const args = [...argumentsOf(flags), '--data', `3:${data}`, '--data', `1:${second.data}`];
    const { status, stdout } = await runCli('train', [...args, '--dry-run']);
    expect(status).toBe(0);
    expect(stdout).toContain(
      `data        ${data}: 75 % of the rows (weight 3), 1.80 epochs; 40 training rows, 12 for`,
    );
    expect(stdout).toContain(
      `            ${second.data}: 25 % of the rows (weight 1), 2.67 epochs; 9 training rows, 5 for`,
    );
    expect(stdout).toContain('12 of 4 × 2 rows (128 tokens)\n');
    expect(stdout).toContain('every 6 updates, on 17 rows');
    const trained = await runCli('train', args);
    expect(trained).toMatchObject({ status: 0 });
    const { progress } = await readRun(flags.out);
    expect(progress.cursor?.datasets.map(({ position }) => position).toSorted()).toEqual([24, 72]);
    expect(JSON.parse(readFileSync(join(flags.out, 'recipe.json'), 'utf8'))).toMatchObject({
      data: [`3:${data}`, `1:${second.data}`],
    });
  });

  it('says in one line what is wrong', async () => {
    const folder = await temporaryFolder();
    const cases = [
      [[], 1, /^error: there is no dataset in cache\/datasets\/wiki-books-256 .*npm run prepare-data.*\n$/],
      [['--data', '3:a', '--data', 'b'], 2, /^error: --data b has no weight but others have; .*\n$/],
      [['--tau', '-1'], 2, /^error: --tau is -1, expected a number above 0\n$/],
    ] as const;
    const results = await Promise.all(cases.map(([args]) => runCli('train', args, { cwd: folder })));
    for (const [index, [, status, message]] of cases.entries()) {
      expect(results[index]).toMatchObject({ status, stdout: '' });
      expect(results[index]?.stderr).toMatch(message);
    }
  });
});
