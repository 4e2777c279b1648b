import { PassThrough } from 'node:stream';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { confirm } from '../../src/cli/confirm.ts';
import { exportModel } from '../../src/export/export-model.ts';
import { type CommandResult, runCli, startCli } from '../support/commands.ts';
import { filesBelow, temporaryFolder } from '../support/folders.ts';
import type { TestHub } from '../support/hub/server.ts';
import { hubForTest } from '../support/hub-datasets.ts';
import { modelFiles, writeFolder } from '../support/models.ts';

const TOKEN = 'hf_writes';

async function bench(): Promise<{ hub: TestHub; folder: string }> {
  const hub = await hubForTest({ accounts: { [TOKEN]: { name: 'ann', organizations: ['team'] } } });
  const folder = join(await temporaryFolder(), 'out');
  await exportModel(await writeFolder(modelFiles()), folder, { onnx: true, context: {} });
  return { hub, folder };
}

const environmentOf = ({ endpoint }: TestHub) => ({ HF_ENDPOINT: endpoint, HF_TOKEN: TOKEN });

function push(hub: TestHub, args: readonly string[]): Promise<CommandResult> {
  return runCli('push-model', args, { env: environmentOf(hub) });
}

describe('npm run push-model', () => {
  it('killed, and then interrupted, goes on where it was', async () => {
    const { hub, folder } = await bench();
    const args = [folder, 'team/bert'];
    const dry = await push(hub, [...args, '--dry-run']);
    expect(dry.stdout).toMatch(/\nrepository +http:\/\/[^/]*\/team\/bert: private, to be created\n/);
    expect(dry.stdout).toMatch(/\nfiles +9 to upload \(.*\), 0 there already\n/);
    expect(await hub.filesOf('team/bert')).toBeUndefined();

    /** Lets a request wait for ever, and stops the command when it comes. */
    const stopAt = async (match: RegExp, after: number, signal: NodeJS.Signals): Promise<CommandResult> => {
      hub.resetLog();
      hub.fail({ match, after, fault: { kind: 'stall', afterBytes: -1 } });
      const { child, ended } = startCli('push-model', args, { env: environmentOf(hub) });
      const timer = setInterval(() => {
        const seen = hub.requests.filter(({ method, url }) => match.test(`${method} ${url}`));
        if (seen.length <= after) return;
        clearInterval(timer);
        child.kill(signal);
      }, 20);
      try {
        return await ended;
      } finally {
        clearInterval(timer);
        hub.clearFaults();
      }
    };
    expect((await stopAt(/^PUT /, 1, 'SIGKILL')).signal).toBe('SIGKILL');
    expect(hub.requests.filter(({ method }) => method === 'PUT')).toHaveLength(2);
    const interrupted = await stopAt(/objects\/batch/, 0, 'SIGINT');
    expect(interrupted.status).toBe(130);
    expect(interrupted.stderr).toContain('stopped: what was committed is kept; run the same command again');
    expect([...(await hub.filesOf('team/bert'))!.keys()]).toEqual(['.gitattributes']);

    hub.resetLog();
    const done = await push(hub, args);
    expect({ status: done.status, stderr: done.stderr }).toMatchObject({ status: 0 });
    expect(hub.requests.filter(({ method }) => method === 'PUT')).toEqual([]);
    expect(done.stderr).toMatch(
      /\/team\/bert is complete, commit [0-9a-f]{40}\nnext: npm run fill-mask -- hub:team\/bert/,
    );
    const there = await hub.filesOf('team/bert');
    for (const [name, bytes] of await filesBelow(folder))
      expect(there?.get(name)?.equals(bytes), name).toBe(true);
    expect(hub.isPrivate('team/bert')).toBe(true);
  }, 120_000);

  it('makes nothing public that was not confirmed', async () => {
    const { hub, folder } = await bench();
    const refused = await push(hub, [folder, 'team/bert', '--public']);
    expect(refused.status).toBe(2);
    expect(refused.stderr).toBe(
      'error: team/bert will be public: everybody can read this model then. Push it? Nobody can be asked here: give --yes if that is meant\n',
    );
    expect(await hub.filesOf('team/bert')).toBeUndefined();
    expect((await push(hub, [folder, 'team/bert', '--public', '--yes'])).status).toBe(0);
    expect(hub.isPrivate('team/bert')).toBe(false);
    // Nothing to push makes nothing public.
    expect((await push(hub, [folder, 'team/bert'])).status).toBe(0);
  }, 120_000);
});

describe('confirm', () => {
  const ask = async (answer: string): Promise<string> => {
    const input = Object.assign(new PassThrough(), { isTTY: true });
    const output = new PassThrough();
    const asked = confirm({
      question: 'Push it?',
      yes: false,
      signal: new AbortController().signal,
      terminal: { input, output },
    });
    input.write(`${answer}\n`);
    await asked;
    return String(output.read());
  };

  it.each(['y', 'yes', 'YES '])('takes %s for yes', async (answer) => {
    expect(await ask(answer)).toContain('Push it? [y/N] ');
  });

  it.each(['', 'n', 'nay', 'yesterday'])('takes "%s" for no', async (answer) => {
    await expect(ask(answer)).rejects.toThrow('not confirmed: nothing was changed');
  });
});
