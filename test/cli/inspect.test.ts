import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readManifest, writeManifest } from '../../pipeline/shards/manifest.ts';
import { builtinTokenizer } from '../../pipeline/text/builtin-vocabulary.ts';
import { createTokenizer } from '../../pipeline/text/wordpiece.ts';
import { type CommandResult, runCli } from '../support/commands.ts';
import { temporaryFolder } from '../support/folders.ts';
import { mixedConfig, prepareToEnd, writeInputs } from '../support/preparations.ts';
import { pushBench, REPOSITORY, TOKEN } from '../support/pushed-dataset.ts';
import { writeTrainingFiles } from '../support/training.ts';

const DOCUMENTS = [
  'The first document is short.',
  'A second one, which is somewhat longer than the first, crosses the border of its row, as long ones do.',
  'ᚠᛇᚻ and a third.',
];

async function prepared(): Promise<string> {
  const folder = await temporaryFolder();
  await writeFile(join(folder, 'texts.txt'), DOCUMENTS.join('\n'));
  const { status, stderr } = await runCli('prepare-data', [
    ...['--source', `file:${folder}/texts.txt`, '--tokenizer', 'bert-base-uncased', '--max-seq-len', '16'],
    ...['--validation', '0', '--workers', '1', '--out', join(folder, 'data')],
  ]);
  expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
  return join(folder, 'data');
}

function inspect(...args: string[]): Promise<CommandResult> {
  return runCli('inspect', args);
}

/** A command that fails with one line. */
async function lineOf(args: readonly string[], status: number): Promise<string> {
  const result = await inspect(...args);
  expect({ status: result.status, stdout: result.stdout }).toEqual({ status, stdout: '' });
  expect(result.stderr.trimEnd().split('\n')).toHaveLength(1);
  return result.stderr;
}

describe('npm run inspect', () => {
  it('shows what a dataset is, and rows with the borders of their documents', async () => {
    const data = await prepared();
    const { status, stdout } = await inspect(data, '--rows', '9');
    expect(status).toBe(0);
    const manifest = (await readManifest(data))!;
    expect(stdout).toMatch(new RegExp(`^dataset +${data}, complete\nfingerprint +${manifest.fingerprint}\n`));
    expect(stdout).toMatch(/\ndocuments +3\n/);
    expect(stdout).toMatch(/\ntokens +\d+ \(unknown \d+\.\d+ %\)\n/);
    const rows = stdout.split('\n\n').slice(1);
    expect(rows).toHaveLength(manifest.totals.trainRows);
    const first = createTokenizer(builtinTokenizer()).encode(DOCUMENTS[0]!).length + 2;
    expect(rows[0]).toBe(
      [
        `train row 0 of ${rows.length}: 16 tokens, 0 padding, 2 documents, 0 unknown`,
        `  [1] ${first} tokens`,
        '      [CLS] the first document is short. [SEP]',
        `  [2] ${16 - first} tokens, goes on in the next row`,
        '      [CLS] a second one, which is somewhat',
      ].join('\n'),
    );
    expect(rows[1]).toMatch(
      /^train row 1 of \d+: 16 tokens, 0 padding, 1 document, 0 unknown\n {2}\[1\] 16 tokens, began in an earlier row, goes on in the next row\n/,
    );
    expect(rows.at(-1)).toMatch(/ 1 unknown\n.*\[UNK\] and a third\. \[SEP\].*\n {2}\[PAD\] × \d+\n$/s);
  });

  it('shows the rows that are asked for', async () => {
    const { data } = await writeTrainingFiles(await temporaryFolder());
    const { stdout } = await inspect(data, '--split', 'validation', '--row', '10', '--rows', '5');
    const titles = stdout.split('\n').filter((line) => line.startsWith('validation row'));
    expect(titles.map((line) => line.split(':')[0])).toEqual([
      'validation row 10 of 12',
      'validation row 11 of 12',
    ]);
    // `rowIds` writes the row's number behind [CLS].
    expect(stdout).toContain('[CLS] word1010 word1000 word1000');
  });

  it('shows an unfinished dataset as far as it goes', async () => {
    const { data } = await writeTrainingFiles(await temporaryFolder());
    await writeManifest(data, { ...(await readManifest(data))!, status: 'running' });
    const { status, stdout } = await inspect(data);
    expect(status).toBe(0);
    expect(stdout).toContain('unfinished: what follows is what is there so far\n');
    expect(stdout).toContain('train row 0 of 40: ');
  });

  describe('fails with one line', () => {
    it.each([
      [['--row', '40'], /^error: --row is 40, expected a number below 40: .* has 40 train rows\n$/],
      [['--row', '-1'], /^error: .*--row/],
      [['--rows', '0'], /^error: --rows is 0, expected a whole number of at least 1\n$/],
      [['--split', 'test'], /^error: --split is "test", expected train or validation\n$/],
    ])('%j', async (flags, message) => {
      const { data } = await writeTrainingFiles(await temporaryFolder());
      expect(await lineOf([data, ...flags], 2)).toMatch(message);
    });

    it('without a dataset', async () => {
      expect(await lineOf([], 2)).toMatch(/^error: no dataset given; expected its folder or hub:org\/name/);
      const folder = await temporaryFolder();
      expect(await lineOf([folder], 1)).toMatch(
        /^error: there is no dataset in .* \(manifest\.json is missing\)/,
      );
      expect(await lineOf(['hub:one'], 2)).toMatch(
        /^error: hub:one is no prepared dataset; expected a folder, or hub:/,
      );
    });
  });

  it('--verify says that all is well, or names every damaged file with its place', async () => {
    const { data } = await writeTrainingFiles(await temporaryFolder(), { train: [16, 16, 16] });
    const whole = await inspect(data, '--verify');
    expect(whole.status).toBe(0);
    expect(whole.stdout).toMatch(/\n.*data is whole: 4 shards have the hashes and rows of the manifest\n$/);

    const bytes = await readFile(join(data, 'train/00000.parquet'));
    bytes[bytes.length - 400]! ^= 1;
    await writeFile(join(data, 'train/00000.parquet'), bytes);
    await rm(join(data, 'train/00002.parquet'));
    const damaged = await inspect(data, '--verify');
    expect(damaged.status).toBe(1);
    const lines = damaged.stderr.trimEnd().split('\n');
    expect(lines.filter((line) => line.includes('is damaged:'))).toEqual([
      expect.stringMatching(/train\/00000\.parquet is damaged: .*(?:byte|altered)/),
      expect.stringMatching(/train\/00002\.parquet is damaged: missing$/),
    ]);
    expect(lines.at(-1)).toMatch(
      /^error: 2 of 4 shards of .*data are damaged; run prepare-data for this folder again/,
    );
  });

  it('--verify names what preparation keeps to go on with, where it is damaged', async () => {
    const folder = await temporaryFolder();
    await writeInputs(folder, 200);
    const config = mixedConfig(folder, { dedup: 'exact' });
    await prepareToEnd(config);
    expect((await inspect(config.out, '--verify')).status).toBe(0);
    const path = join(config.out, 'seen/00000.bin');
    await writeFile(path, new Uint8Array(16));
    const { status, stderr } = await inspect(config.out, '--verify');
    expect(status).toBe(1);
    expect(stderr).toMatch(/seen\/00000\.bin is damaged: 16 bytes, expected \d+\n/);
    expect(stderr.trimEnd().split('\n').at(-1)).toMatch(
      /^error: the shards of .*out are whole, but 1 of \d+ files that tell which documents were seen are damaged/,
    );
  });

  it('--verify of a dataset on the Hub ends with Ctrl-C', async () => {
    const bench = await pushBench();
    await bench.push();
    const env = { HF_ENDPOINT: bench.hub.endpoint, HF_TOKEN: TOKEN };
    // The third shard never comes to an end.
    bench.hub.fail({ match: /xet-bridge/, fault: { kind: 'stall', afterBytes: 10 }, after: 4 });
    const { status, stderr } = await runCli('inspect', [`hub:${REPOSITORY}`, '--verify'], {
      env,
      onStderr: (text, child) => {
        if (text.includes('verify ') && !text.includes('stopping')) child.kill('SIGINT');
      },
    });
    expect(status).toBe(130);
    expect(stderr).toContain('stopping at the next safe place');
  });
});
