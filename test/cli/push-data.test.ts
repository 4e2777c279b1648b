import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { argumentsOf, type CommandOptions, type CommandResult, runCli } from '../support/commands.ts';
import { filesBelow, temporaryFolder } from '../support/folders.ts';
import type { TestHub, TestHubOptions } from '../support/hub/server.ts';
import { hubForTest } from '../support/hub-datasets.ts';
import { TOKEN } from '../support/pushed-dataset.ts';
import { smallRun, writeTrainingFiles } from '../support/training.ts';
import { readRun } from '../support/training-runs.ts';

const accounts = {
  [TOKEN]: { name: 'ann', organizations: ['team'] },
  hf_reads: { name: 'ben', role: 'read' },
} as const;

function hubWith(options: TestHubOptions = {}): Promise<TestHub> {
  return hubForTest({ accounts, ...options });
}

function run(
  hub: TestHub,
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const env = { HF_ENDPOINT: hub.endpoint, HF_TOKEN: TOKEN, ...options.env };
  return runCli(command, args, { ...options, env });
}

async function succeed(...args: Parameters<typeof run>): Promise<CommandResult> {
  const result = await run(...args);
  expect({ status: result.status, stderr: result.status === 0 ? '' : result.stderr }).toEqual({
    status: 0,
    stderr: '',
  });
  return result;
}

async function expectPushed(hub: TestHub, data: string): Promise<void> {
  const there = await hub.filesOf('team/words');
  for (const [name, bytes] of await filesBelow(data))
    expect(there?.get(name)?.equals(bytes), name).toBe(true);
}

describe('npm run push-data', () => {
  it('pushes, and from there inspect shows, verify checks and train trains the same bits', {
    timeout: 120_000,
  }, async () => {
    const hub = await hubWith({ uploadMode: 'xet' });
    const folder = await temporaryFolder();
    const files = await writeTrainingFiles(folder);
    const dry = await succeed(hub, 'push-data', [files.data, 'team/words', '--dry-run']);
    expect(dry.stdout).toMatch(/\nrepository +http:.*\/datasets\/team\/words: private, to be created\n/);
    expect(dry.stdout).toMatch(/\nshards +2 to upload \(.*\), 0 there already\n/);
    expect(await hub.filesOf('team/words')).toBeUndefined();

    const pushed = await succeed(hub, 'push-data', [files.data, 'team/words']);
    expect(pushed.stderr).toMatch(/upload .* 100\.0 % .*B\/s/);
    expect(pushed.stderr).toContain('next: npm run train -- --data hub:team/words\n');
    await expectPushed(hub, files.data);
    expect(hub.isPrivate('team/words')).toBe(true);

    const reference = 'hub:team/words';
    const shown = await succeed(hub, 'inspect', [reference, '--row', '7', '--rows', '3']);
    const local = await succeed(hub, 'inspect', [files.data, '--row', '7', '--rows', '3']);
    expect(shown.stdout.split('\n').slice(1)).toEqual(local.stdout.split('\n').slice(1));
    expect((await succeed(hub, 'inspect', [reference, '--verify'])).stdout).toContain(
      'hub:team/words is whole: 2 shards',
    );

    const flags = smallRun(files, join(folder, 'local'));
    await succeed(hub, 'train', argumentsOf(flags));
    // Begun on the folder, continued from the Hub.
    const moved = { ...flags, out: join(folder, 'moved'), data: reference };
    await cp(flags.out, moved.out, { recursive: true });
    for (const step of [8, 12]) await rm(join(moved.out, `checkpoint-${step}`), { recursive: true });
    const continued = await succeed(hub, 'train', argumentsOf(moved));
    expect(continued.stderr).toContain('checkpoint-4');
    expect(await readRun(moved.out)).toEqual(await readRun(flags.out));
    const streamed = { ...flags, out: join(folder, 'streamed'), data: reference };
    await succeed(hub, 'train', argumentsOf(streamed));
    expect(await readRun(streamed.out)).toEqual(await readRun(flags.out));
    const [ofFolder, ofHub] = await Promise.all(
      [flags, streamed].map(({ out }) => filesBelow(join(out, 'checkpoint-12'))),
    );
    for (const name of ['vocab.txt', 'tokenizer.json', 'model.safetensors']) {
      expect(ofHub!.get(name)).toEqual(ofFolder!.get(name));
    }
  });

  it('killed, and then interrupted, goes on where it was', { timeout: 120_000 }, async () => {
    const hub = await hubWith();
    const { data } = await writeTrainingFiles(await temporaryFolder(), {
      train: Array.from({ length: 40 }, () => 8),
    });
    const args = [data, 'team/words', '--public'];
    const stopAt = (signal: NodeJS.Signals): CommandOptions => ({
      onStderr: (stderr, child) => {
        if (stderr.includes('committed train/') && !stderr.includes('stopping')) child.kill(signal);
      },
    });
    // The second commit of shards never ends by itself.
    const stuck = { match: /\/commit\/main/, fault: { kind: 'stall', afterBytes: -1 } as const, after: 1 };
    hub.fail(stuck);
    expect((await run(hub, 'push-data', args, stopAt('SIGKILL'))).signal).toBe('SIGKILL');
    hub.clearFaults();
    hub.fail(stuck);
    const interrupted = await run(hub, 'push-data', args, stopAt('SIGINT'));
    expect(interrupted.status).toBe(130);
    expect(interrupted.stderr).toContain(
      'stopped: what was committed is kept; run the same command again to go on',
    );
    expect((await hub.filesOf('team/words'))?.has('manifest.json')).toBe(false);

    hub.clearFaults();
    hub.resetLog();
    await succeed(hub, 'push-data', args);
    await expectPushed(hub, data);
    expect(hub.isPrivate('team/words')).toBe(false);
    const numUploads = hub.requests.filter(({ method }) => method === 'PUT').length;
    expect(numUploads).toBeLessThan(12);
    const again = await succeed(hub, 'push-data', args);
    expect(again.stdout).toMatch(
      /\nshards +0 to upload \(0 B\), 41 there already\nothers +nothing to upload\n/,
    );
    expect(again.stderr).toMatch(/is there already, commit [0-9a-f]{40}\n/);
  });

  describe('fails with one line', () => {
    it.each([
      [
        ['team/words'],
        { HF_TOKEN: '' },
        2,
        /^error: HF_TOKEN is not set; make a token with write permission at http/,
      ],
      [['team/words'], { HF_TOKEN: 'hf_wrong' }, 1, /^error: HF_TOKEN is not valid \(the Hub answered 401/],
      [['team/words'], { HF_TOKEN: 'hf_reads' }, 1, /^error: HF_TOKEN of ben may only read/],
      [['words'], {}, 2, /^error: words is not the name of a repository; expected org\/name/],
      [['else/words'], {}, 1, /^error: cannot create dataset else\/words \(the Hub answered 403/],
      [
        ['team/words', '--public', '--private'],
        {},
        2,
        /^error: --private and --public are given, expected one/,
      ],
      [[], {}, 2, /^error: expected the folder of a dataset and a name on the Hub, as in npm run push-data/],
    ])('%j %j', async (args, env, status, message) => {
      const { data } = await writeTrainingFiles(await temporaryFolder());
      const hub = await hubWith();
      const result = await run(hub, 'push-data', [data, ...args], { env });
      expect(result.status).toBe(status);
      const errors = result.stderr
        .trimEnd()
        .split('\n')
        .filter((line) => !line.startsWith('check '));
      expect(errors).toHaveLength(1);
      expect(`${errors[0]!}\n`).toMatch(message);
      expect(hub.requests.some(({ method }) => method === 'PUT')).toBe(false);
    });

    it('without a dataset', async () => {
      const hub = await hubWith();
      const folder = await temporaryFolder();
      const { status, stderr } = await run(hub, 'push-data', [folder, 'team/words']);
      expect(status).toBe(1);
      expect(stderr).toMatch(/^error: there is no dataset in .*manifest\.json is missing.*\n$/);
    });
  });
});
