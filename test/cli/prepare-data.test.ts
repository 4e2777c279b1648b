import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseManifest } from '../../pipeline/shards/manifest.ts';
import { type CommandOptions, type CommandResult, runCli } from '../support/commands.ts';
import { hashesBelow } from '../support/folders.ts';
import { makeTexts, writeJsonLines, writeVocabulary } from '../support/texts.ts';

let home = '';
/** Files of an uninterrupted run. */
let whole: Record<string, string> = {};
let report: CommandResult;

function prepareInto(
  out: string,
  more: readonly string[] = [],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const args = [
    ['--source', `file:${join(home, 'texts.jsonl')}`],
    ['--tokenizer', join(home, 'letters.txt')],
    ['--max-seq-len', '64', '--rows-per-shard', '128', '--validation', '5%', '--workers', '1'],
    ['--out', out],
  ];
  return runCli('prepare-data', [...args.flat(), ...more], options);
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'taco-prepare-data-'));
  await writeVocabulary(join(home, 'letters.txt'));
  await writeJsonLines(join(home, 'texts.jsonl'), makeTexts({ documents: 1800 }));
  report = await prepareInto(join(home, 'whole'));
  whole = await hashesBelow(join(home, 'whole'));
});

afterAll(async () => {
  await rm(home, { recursive: true, force: true });
});

/** Reads every file under a final name as fast as it can, until stopped; collects what is not whole. */
function watch(folder: string): { stop: () => Promise<{ faults: string[]; reads: number }> } {
  const faults: string[] = [];
  let reads = 0;
  let isOver = false;
  const check = async (name: string): Promise<void> => {
    const bytes = await readFile(join(folder, name));
    reads += 1;
    if (name === 'manifest.json') parseManifest(bytes.toString(), name);
    else if (bytes.subarray(0, 4).toString() !== 'PAR1' || bytes.subarray(-4).toString() !== 'PAR1')
      faults.push(name);
  };
  const watching = (async () => {
    const seen = new Set<string>();
    while (!isOver) {
      const names = await readdir(folder, { recursive: true }).catch((): string[] => []);
      for (const name of names) {
        const isShard = name.endsWith('.parquet') && !name.includes('.tmp-') && !seen.has(name);
        if (!isShard && name !== 'manifest.json') continue;
        seen.add(name);
        await check(name).catch((error: unknown) => faults.push(`${name}: ${String(error)}`));
      }
      await delay(1);
    }
  })();
  return {
    stop: async () => {
      isOver = true;
      await watching;
      return { faults, reads };
    },
  };
}

describe('prepare-data', () => {
  it('ends with a table and names the next command', () => {
    expect(report).toMatchObject({ status: 0, stdout: '' });
    expect(report.stderr).toMatch(/documents +1,[78]\d\d\n/);
    expect(report.stderr).toMatch(/MB\/s|kB\/s/);
    expect(report.stderr).toContain(`npm run train -- --data ${join(home, 'whole')}`);
    expect(Object.keys(whole).filter((name) => name.startsWith('train/')).length).toBeGreaterThan(10);
  });

  it('shows each source by name, counts duplicates, and says where the time went', async () => {
    await writeJsonLines(join(home, 'again.jsonl'), makeTexts({ documents: 1800 }).slice(0, 300));
    const { status, stderr } = await prepareInto(join(home, 'deduplicated'), [
      ...['--source', `file:${join(home, 'again.jsonl')}`],
      ...['--dedup', 'exact', '--profile'],
    ]);
    expect(status).toBe(0);
    for (const name of ['texts.jsonl', 'again.jsonl']) {
      expect(stderr).toMatch(
        new RegExp(`^file:.*${name} .* rows  .* text  .*/s  .* tokens  .* tokens/s`, 'm'),
      );
    }
    // The second source is the beginning of the first; its empty documents count nowhere.
    expect(stderr).toMatch(/duplicates +29\d left out \(1\d(\.\d+)? %\), [\d,]+ tokens\n/);
    expect(stderr).toMatch(/text +[\d,]+ bytes, 1\.\d\d characters per token\n/);
    expect(stderr).toMatch(/unknown 0 %/);
    expect(stderr).toMatch(/padding +[\d,]+ ids \(/);
    for (const stage of ['fetch', 'decompress', 'decode', 'tokenize', 'pack', 'encode', 'write']) {
      expect(stderr).toMatch(new RegExp(`^ +${stage} +\\d+\\.\\d\\d s +\\d+\\.\\d\\d ms/MB`, 'm'));
    }
    const shards = (names: Record<string, string>): Record<string, string> =>
      Object.fromEntries(Object.entries(names).filter(([name]) => name.endsWith('.parquet')));
    expect(shards(await hashesBelow(join(home, 'deduplicated')))).toEqual(shards(whole));
  });

  it('killed at any moment continues to the same bytes, and no partial file was ever to be seen', {
    timeout: 180_000,
  }, async () => {
    const out = join(home, 'killed');
    const moments = [
      { after: 'preparing', waitMs: 0 },
      { after: 'train/00000', waitMs: 0 },
      { after: 'train/00002', waitMs: 3 },
      { after: 'train/00005', waitMs: 7 },
      { after: 'train/00009', waitMs: 15 },
    ];
    const watcher = watch(out);
    let kills = 0;
    for (const { after, waitMs } of moments) {
      let isStruck = false;
      const { signal } = await prepareInto(out, [], {
        onStderr: (stderr, child) => {
          if (isStruck || !stderr.includes(after)) return;
          isStruck = true;
          setTimeout(() => child.kill('SIGKILL'), waitMs);
        },
      });
      if (signal === 'SIGKILL') kills += 1;
    }
    const last = await prepareInto(out);
    const { faults, reads } = await watcher.stop();
    expect(last.status).toBe(0);
    // A fast disk may win a race or two.
    expect(kills).toBeGreaterThan(2);
    expect(last.stderr).toContain('continuing');
    expect(faults).toEqual([]);
    expect(reads).toBeGreaterThan(10);
    expect(await hashesBelow(out)).toEqual(whole);
  });

  it('interrupted by Ctrl-C says how to continue, and continues', { timeout: 120_000 }, async () => {
    const out = join(home, 'interrupted');
    let isStruck = false;
    const first = await prepareInto(out, [], {
      onStderr: (stderr, child) => {
        if (isStruck || !stderr.includes('train/00001')) return;
        isStruck = true;
        child.kill('SIGINT');
      },
    });
    expect(first.status).toBe(130);
    expect(first.stderr).toMatch(/stopped: \d+ shards are safe .* run the same command again to continue/);
    expect(Object.keys(await hashesBelow(out)).filter((name) => /tmp|lock/.test(name))).toEqual([]);
    expect((await prepareInto(out)).status).toBe(0);
    expect(await hashesBelow(out)).toEqual(whole);
  });

  it('--dry-run prints the plan and writes nothing', async () => {
    const out = join(home, 'dry');
    const { status, stdout, stderr } = await prepareInto(out, ['--dry-run']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const part of [
      'texts.jsonl',
      'letters.txt',
      '64 ids each',
      '5 % of the documents',
      out,
      'nothing yet',
    ]) {
      expect(stdout).toContain(part);
    }
    expect(await readdir(home)).not.toContain('dry');
    expect((await prepareInto(join(home, 'whole'), ['--dry-run'])).stdout).toMatch(
      /exists +complete: \d+ shards/,
    );
  });

  it.each([
    [['--validation', 'much'], 2, /--validation is much, expected a share/],
    [['--sources', 'x'], 2, /unknown flag --sources; did you mean --source\?/],
    [['--source', 'file:nowhere.jsonl', '--tokenizer', 'bert-base-uncased'], 1, /nowhere\.jsonl/],
  ] as const)('%j ends with one line', async (args, status, message) => {
    const result = await runCli('prepare-data', [...args, '--out', join(home, 'bad')]);
    expect(result.status).toBe(status);
    expect(result.stderr.trim().split('\n')).toHaveLength(1);
    expect(result.stderr).toMatch(message);
    expect(await readdir(home)).not.toContain('bad');
  });
});
