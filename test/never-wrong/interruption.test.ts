import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createPrepareConfig, type PrepareConfig, type PrepareInput } from '../../pipeline/config.ts';
import { runCli, startCli } from '../support/commands.ts';
import { hashesBelow, temporaryFolder } from '../support/folders.ts';
import { killReference, killRound } from '../support/kill-rounds.ts';
import { mixedConfig, prepareToEnd, prepareUntil, writeInputs } from '../support/preparations.ts';

let home = '';
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'taco-interruption-'));
  await writeInputs(home, 500);
});
afterAll(() => rm(home, { recursive: true, force: true }));

let numFolders = 0;
function configWith(input: PrepareInput = {}): PrepareConfig {
  numFolders += 1;
  return mixedConfig(home, { out: join(home, `out-${numFolders}`), ...input });
}

/** Files of a run that was never stopped, and how many commits it made. */
async function uninterrupted(input: PrepareInput): Promise<{ files: object; commits: number }> {
  const config = configWith(input);
  const events = await prepareToEnd(config);
  const commits = events.filter(({ type }) => type === 'committed').length;
  return { files: await hashesBelow(config.out), commits };
}

describe('preparation killed at random moments', () => {
  it('and restarted with 1, 2, 3, 8 and 2 threads ends with identical bytes, no partial file ever under a final name', {
    timeout: 180_000,
  }, async () => {
    const reference = await killReference(await temporaryFolder());
    expect(Object.keys(reference.expected).length).toBeGreaterThan(100);
    let kills = 0;
    let looks = 0;
    for (const round of [0, 1]) {
      const result = await killRound(reference, { seed: 42, round, maxStarts: 6 });
      expect(result.faults).toEqual([]);
      kills += result.kills;
      looks += result.looks;
    }
    expect(kills).toBeGreaterThan(3);
    expect(looks).toBeGreaterThan(Object.keys(reference.expected).length);
  });
});

// Each makes dozens of commits, every one of which waits for the disk.
describe.each([
  { packing: 'concat', remainder: 'pad' },
  { packing: 'documents', remainder: 'drop' },
] as const)('preparation of mixed sources with $packing packing', { timeout: 180_000 }, (settings) => {
  it('stopped before any commit, at each and after the last, goes on to identical bytes', async () => {
    const { files, commits } = await uninterrupted(settings);
    expect(commits).toBeGreaterThan(5);
    for (let count = 0; count <= commits + 1; count += 1) {
      const config = configWith(settings);
      await (count === 0 ? prepareUntil(config, 'planned', 1) : prepareUntil(config, 'committed', count));
      await prepareToEnd(config);
      expect(await hashesBelow(config.out)).toEqual(files);
    }
  });

  it('stopped at every commit of the same run, each time with other threads, ends with identical bytes', async () => {
    const { files, commits } = await uninterrupted(settings);
    const config = configWith(settings);
    const threads = [0, 1, 2, 3, 8];
    let runs = 0;
    for (let isDone = false; !isDone; runs += 1) {
      const workers = threads[runs % threads.length]!;
      const events = await prepareUntil(createPrepareConfig({ ...config, workers }), 'committed', 1);
      isDone = events.at(-1)?.type === 'done';
    }
    expect(runs).toBeGreaterThanOrEqual(commits);
    expect(await hashesBelow(config.out)).toEqual(files);
  });
});

it('a finished dataset is not touched by another run', async () => {
  const config = configWith();
  await prepareToEnd(config);
  const states = async (): Promise<string[]> => {
    const names = (await readdir(config.out, { recursive: true })).filter((name) => /parquet$/.test(name));
    const found = names.map(async (name) => `${name} ${(await stat(join(config.out, name))).mtimeMs}`);
    return Promise.all([...found, readFile(join(config.out, 'manifest.json'), 'utf8')]);
  };
  const before = await states();
  expect(before.length).toBeGreaterThan(8);
  const events = await prepareToEnd(config);
  expect(events.at(-1)).toMatchObject({ type: 'done', wasComplete: true });
  expect(await states()).toEqual(before);
});

it('what is kept for going on does not grow with the data', async () => {
  const sizes: number[] = [];
  for (const rowsPerShard of [512, 64]) {
    const config = configWith({ rowsPerShard, validation: 0 });
    await prepareToEnd(config);
    const shards = (await readdir(join(config.out, 'train'))).length;
    sizes.push((await stat(join(config.out, 'manifest.json'))).size / shards);
  }
  // Bytes a shard: with eight times as many shards the fixed part weighs less, and nothing weighs more.
  expect(sizes[1]).toBeLessThan(sizes[0]!);
});

describe('two processes on one folder', () => {
  const argumentsFor = (config: PrepareConfig): readonly string[] => [
    ...config.sources.flatMap((source) => ['--source', source]),
    ...['--tokenizer', config.tokenizer, '--max-seq-len', String(config.maxSeqLen)],
    ...['--validation', String(config.validation), '--rows-per-shard', String(config.rowsPerShard)],
    ...['--workers', '1', '--out', config.out],
  ];

  it('the second is refused by the name of the first, which is not disturbed', async () => {
    const config = configWith({ rowsPerShard: 64 });
    let isHeld = false;
    let onHeld: (() => void) | undefined;
    const held = new Promise<void>((resolve) => {
      onHeld = resolve;
    });
    const first = startCli('prepare-data', argumentsFor(config), {
      onStderr: (stderr, child) => {
        if (isHeld || !stderr.includes('train/00001')) return;
        isHeld = child.kill('SIGSTOP');
        onHeld?.();
      },
    });
    await Promise.race([held, first.ended]);
    expect(isHeld).toBe(true);
    const second = await runCli('prepare-data', argumentsFor(config));
    first.child.kill('SIGCONT');
    expect(second.status).toBe(1);
    expect(second.stderr.trim().split('\n')).toHaveLength(1);
    expect(second.stderr).toContain(`process ${first.child.pid ?? 0} is preparing this folder`);
    expect((await first.ended).status).toBe(0);
    expect(await hashesBelow(config.out)).toEqual((await uninterrupted({ rowsPerShard: 64 })).files);
  });

  it('what a dead one left, its lock and its half-written files, is cleared away', async () => {
    const config = configWith({ rowsPerShard: 64 });
    const killed = await runCli('prepare-data', argumentsFor(config), {
      onStderr: (stderr, child) => {
        if (stderr.includes('train/00002')) child.kill('SIGKILL');
      },
    });
    expect(killed.signal).toBe('SIGKILL');
    const left = await readdir(config.out);
    expect(left).toContain('.lock');
    // As if it had died in the middle of each kind of file.
    const lock = await readFile(join(config.out, '.lock'));
    for (const name of ['.lock-0d4c8f5e-0000-4000-8000-000000000000', '.lock-removal']) {
      await writeFile(join(config.out, name), lock);
    }
    for (const name of ['.tmp-manifest.json', '.tmp-of-old.json', 'train/.tmp-00099.parquet']) {
      await writeFile(join(config.out, name), 'half of it');
    }
    expect((await prepareToEnd(config)).at(-1)?.type).toBe('done');
    expect(await hashesBelow(config.out)).toEqual((await uninterrupted({ rowsPerShard: 64 })).files);
  });
});
