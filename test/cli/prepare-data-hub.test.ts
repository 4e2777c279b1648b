import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parquetReadObjects } from 'hyparquet';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readManifest } from '../../pipeline/shards/manifest.ts';
import { builtinTokenizer } from '../../pipeline/text/builtin-vocabulary.ts';
import { tokenizerFilesOf } from '../../pipeline/text/tokenizer-files.ts';
import { createTokenizer } from '../../pipeline/text/wordpiece.ts';
import { type CommandOptions, type CommandResult, runCli } from '../support/commands.ts';
import { hashesBelow, temporaryFolder } from '../support/folders.ts';
import type { RepositorySpec } from '../support/hub/repositories.ts';
import { startTestHub, type TestHub, type TestHubOptions } from '../support/hub/server.ts';

const fixtures = join(import.meta.dirname, '../fixtures/parquet');

async function hubWith(options: TestHubOptions): Promise<TestHub> {
  const hub = await startTestHub(options);
  onTestFinished(() => hub.close());
  return hub;
}

/** Small stand-ins for everything that a run without flags reads. */
async function defaultRepositories(): Promise<RepositorySpec[]> {
  const parquet = (name: string): Promise<Buffer> => readFile(join(fixtures, name));
  const dump = '20231101.en/train';
  return [
    {
      name: 'wikimedia/wikipedia',
      revisions: {
        main: {
          [`${dump}-00000-of-00002.parquet`]: await parquet('snappy-dictionary-v1.parquet'),
          [`${dump}-00001-of-00002.parquet`]: await parquet('zstd-plain-v2.parquet'),
          '20231101.de/train-00000-of-00001.parquet': await parquet('no-rows.parquet'),
        },
      },
    },
    {
      name: 'bookcorpus/bookcorpus',
      revisions: {
        main: { 'bookcorpus.py': '# a loading script, which nobody runs any more' },
        'refs/convert/parquet': {
          'plain_text/train/0000.parquet': await parquet('gzip-small-pages.parquet'),
        },
      },
    },
    {
      type: 'model',
      name: 'google-bert/bert-base-uncased',
      revisions: { main: Object.fromEntries(tokenizerFilesOf(builtinTokenizer())) },
    },
  ];
}

function prepareData(
  hub: TestHub,
  cwd: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return runCli('prepare-data', args, {
    ...options,
    cwd,
    env: { HF_ENDPOINT: hub.endpoint, ...options.env },
  });
}

async function idsIn(folder: string, files: readonly string[]): Promise<number[]> {
  const rows: number[][] = [];
  for (const name of files) {
    const file = new Uint8Array(await readFile(join(folder, name))).buffer;
    rows.push(...(await parquetReadObjects({ file })).map((row) => row.input_ids as number[]));
  }
  return rows.flat();
}

describe('prepare-data against a Hub, by HF_ENDPOINT alone', () => {
  it('without flags prepares Wikipedia and BookCorpus into cache/datasets', async () => {
    const hub = await hubWith({ repositories: await defaultRepositories() });
    const folder = await temporaryFolder();
    const { status, stderr } = await prepareData(hub, folder, []);
    expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });

    const out = join(folder, 'cache/datasets/wiki-books-256');
    const manifest = await readManifest(out);
    expect(manifest?.sources).toMatchObject([
      {
        repository: 'wikimedia/wikipedia',
        config: '20231101.en',
        commit: expect.stringMatching(/^[0-9a-f]{40}$/) as string,
      },
      { repository: 'bookcorpus/bookcorpus', revision: 'refs/convert/parquet' },
    ]);
    expect(manifest?.sources.map((source) => source.files.length)).toEqual([2, 1]);
    expect(manifest?.tokenizer.sha256).toMatch(/^07eced37/);

    // Every document once and in order: three files hold the same texts.
    const tokenizer = createTokenizer(builtinTokenizer());
    const texts = (await readFile(join(fixtures, 'documents.jsonl'), 'utf8'))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as string | null | { text: string | null });
    const framed = [...texts, ...texts, ...texts]
      .map((entry) => (typeof entry === 'string' || entry === null ? entry : entry.text))
      .map((text) => tokenizer.encode(text ?? ''))
      .filter((ids) => ids.length > 0)
      .map((ids) => [101, ...ids, 102]);
    const of = (split: string) =>
      manifest?.shards.filter((shard) => shard.split === split).map((shard) => shard.file);
    const train = await idsIn(out, of('train') ?? []);
    const validation = await idsIn(out, of('validation') ?? []);
    const joined = [train, validation].map((ids) => ` ${ids.join(' ')} `);
    const missing = framed.filter((ids) => !joined.some((all) => all.includes(` ${ids.join(' ')} `)));
    expect(missing).toEqual([]);
    expect(manifest?.totals.tokens).toBe(framed.flat().length);
  });

  it('--cache-downloads keeps the files, and reads them the second time', async () => {
    const hub = await hubWith({ repositories: await defaultRepositories() });
    const folder = await temporaryFolder();
    const first = await prepareData(hub, folder, ['--cache-downloads', '--out', 'first']);
    expect({ status: first.status, stderr: first.status === 0 ? '' : first.stderr }).toEqual({
      status: 0,
      stderr: '',
    });
    const kept = Object.keys(await hashesBelow(join(folder, 'cache/hub')));
    expect(kept.filter((name) => name.endsWith('.parquet'))).toHaveLength(3);
    const sent = hub.bytesSent();
    expect((await prepareData(hub, folder, ['--cache-downloads', '--out', 'second'])).status).toBe(0);
    expect(hub.bytesSent() - sent).toBeLessThan(sent / 4);
    expect(await hashesBelow(join(folder, 'second'))).toEqual(await hashesBelow(join(folder, 'first')));
  });

  it('goes on with the commits that it began with', { timeout: 120_000 }, async () => {
    const hub = await hubWith({ repositories: await defaultRepositories() });
    const args = ['--max-seq-len', '32', '--rows-per-shard', '8', '--workers', '1'];
    const whole = await temporaryFolder();
    expect((await prepareData(hub, whole, [...args, '--out', 'x'])).status).toBe(0);

    const folder = await temporaryFolder();
    const killed = await prepareData(hub, folder, [...args, '--out', 'x'], {
      onStderr: (stderr, child) => {
        if (stderr.includes('train/00001')) child.kill('SIGKILL');
      },
    });
    expect(killed.signal).toBe('SIGKILL');
    const other = await readFile(join(fixtures, 'required-large-string.parquet'));
    hub.commit('wikimedia/wikipedia', 'main', { '20231101.en/train-00000-of-00001.parquet': other });
    const { status, stderr } = await prepareData(hub, folder, [...args, '--out', 'x']);
    expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
    expect(await hashesBelow(join(folder, 'x'))).toEqual(await hashesBelow(join(whole, 'x')));
  });

  it('names a gated dataset in one line, and reads it with a token', async () => {
    const [wikipedia, books, model] = await defaultRepositories();
    const gated: RepositorySpec = { ...wikipedia!, access: 'gated', allowed: ['hf_good'] };
    const hub = await hubWith({ repositories: [gated, books!, model!], tokens: ['hf_good'] });
    const folder = await temporaryFolder();
    const refused = await prepareData(hub, folder, [], { env: { HF_TOKEN: '' } });
    expect(refused.status).toBe(1);
    expect(refused.stderr.trim().split('\n')).toHaveLength(1);
    expect(refused.stderr).toMatch(/wikimedia\/wikipedia.*gated/);
    const allowed = await prepareData(hub, folder, ['--dry-run'], { env: { HF_TOKEN: 'hf_good' } });
    expect(allowed.status).toBe(0);
  });
});
