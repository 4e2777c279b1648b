import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openGlue } from '../../../src/glue/data.ts';
import {
  GLUE_TASKS,
  type GlueSplit,
  type GlueTaskName,
  glueTask,
  splitsOf,
} from '../../../src/glue/tasks.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { glueParquet, type GlueParquetRow, type GlueSchema, writeFiles } from '../../support/glue.ts';
import { hubForTest } from '../../support/hub-datasets.ts';

const SST2: GlueSchema = { sentence: 'UTF8', label: 'INT64', idx: 'INT32' };
const PAIR: GlueSchema = { sentence1: 'UTF8', sentence2: 'UTF8', label: 'INT64', idx: 'INT32' };
const MNLI: GlueSchema = { premise: 'UTF8', hypothesis: 'UTF8', label: 'INT64', idx: 'INT32' };

const numbered = (label: (row: number) => number, count = 7): readonly GlueParquetRow[] =>
  Array.from({ length: count }, (_, row) => ({ sentence: `"Nº ${row}"`, label: label(row), idx: row }));

async function hubWith(files: Readonly<Record<string, Uint8Array>>) {
  const hub = await hubForTest({ repositories: [{ name: 'nyu-mll/glue', revisions: { main: files } }] });
  return { hub, open: (context = {}) => openGlue('nyu-mll/glue', { endpoint: hub.endpoint, ...context }) };
}

async function readHub(name: GlueTaskName, split: string, files: Readonly<Record<string, Uint8Array>>) {
  const { open } = await hubWith(files);
  return (await open()).read(glueTask(name), splitOf(name, split));
}

function splitOf(task: GlueTaskName, name: string): GlueSplit {
  return splitsOf(GLUE_TASKS[task]).find((split) => split.name === name)!;
}

describe('GLUE on the Hub', () => {
  it('gives the examples of all files of a split in order, test splits without labels', async () => {
    const rows = numbered((row) => row % 2);
    const files = {
      'sst2/train-00000-of-00002.parquet': await glueParquet(SST2, rows.slice(0, 4)),
      'sst2/train-00001-of-00002.parquet': await glueParquet(SST2, rows.slice(4)),
      'sst2/test-00000-of-00001.parquet': await glueParquet(
        SST2,
        numbered(() => -1),
      ),
      'sst2/training-00000-of-00001.parquet': await glueParquet(SST2, rows),
    };
    expect(await readHub('sst2', 'train', files)).toEqual(
      rows.map(({ sentence, label, idx }) => ({ index: idx, texts: [sentence], label })),
    );
    const test = await readHub('sst2', 'test', files);
    expect(test.map(({ label }) => label)).toEqual(rows.map(() => undefined));
  });

  it('reads pairs, scores and the diagnostic set', async () => {
    const scores = await glueParquet({ ...PAIR, label: 'FLOAT' }, [
      { sentence1: 'a', sentence2: '', label: 3.8, idx: 0 },
    ]);
    const ax = await glueParquet(MNLI, [{ premise: 'p', hypothesis: 'h', label: -1, idx: 4 }]);
    const files = {
      'stsb/validation-00000-of-00001.parquet': scores,
      'ax/test-00000-of-00001.parquet': ax,
    };
    expect(await readHub('stsb', 'validation', files)).toEqual([
      { index: 0, texts: ['a', ''], label: Math.fround(3.8) },
    ]);
    expect(await readHub('mnli', 'diagnostic', files)).toEqual([
      { index: 4, texts: ['p', 'h'], label: undefined },
    ]);
    const glue = await (await hubWith(files)).open();
    expect(await glue.has(splitOf('mnli', 'diagnostic'))).toBe(true);
    expect(await glue.has(glueTask('mnli').train)).toBe(false);
  });

  it('reads one commit, and each file from the network once', async () => {
    const file = 'sst2/validation-00000-of-00001.parquet';
    const { hub, open } = await hubWith({
      [file]: await glueParquet(
        SST2,
        numbered(() => 0),
      ),
    });
    const cacheFolder = await temporaryFolder();
    const split = splitOf('sst2', 'validation');
    const glue = await open({ cacheFolder });
    hub.commit('nyu-mll/glue', 'main', {
      [file]: await glueParquet(
        SST2,
        numbered(() => 1),
      ),
    });
    expect(glue.identity).toMatch(/^nyu-mll\/glue@[0-9a-f]{40}$/);
    const first = await glue.read(GLUE_TASKS.sst2, split);
    expect(first.map(({ label }) => label)).toEqual(first.map(() => 0));
    const commit = glue.identity.split('@')[1]!;
    const numReads = hub.requests.filter(({ url }) => url.includes('validation-')).length;
    const again = await openGlue(`nyu-mll/glue@${commit}`, { endpoint: hub.endpoint, cacheFolder });
    expect(await again.read(GLUE_TASKS.sst2, split)).toEqual(first);
    expect(numReads).toBeGreaterThan(0);
    expect(hub.requests.filter(({ url }) => url.includes('validation-'))).toHaveLength(numReads);
    const moved = await open({ cacheFolder });
    expect((await moved.read(GLUE_TASKS.sst2, split))[0]!.label).toBe(1);
  });

  it('names file, row and column of what is wrong', async () => {
    const at = 'sst2/train-00000-of-00001.parquet';
    const read = async (schema: GlueSchema, rows: readonly GlueParquetRow[]) =>
      readHub('sst2', 'train', { [at]: await glueParquet(schema, rows) });
    await expect(
      read(
        SST2,
        numbered((row) => (row === 5 ? 2 : 0)),
      ),
    ).rejects.toThrow(`${at} of nyu-mll/glue row 5: label is 2, expected one of 0 (negative), 1 (positive)`);
    await expect(read({ sentence: 'UTF8', idx: 'INT32' }, [{ sentence: 'a', idx: 0 }])).rejects.toThrow(
      `${at} of nyu-mll/glue has no column label; its columns are sentence, idx`,
    );
    await expect(read(SST2, [{ label: 1, idx: 0 }])).rejects.toThrow(
      `${at} of nyu-mll/glue row 0: sentence is missing, expected text`,
    );
    await expect(readHub('sst2', 'train', { [at]: Buffer.from('PAR1 no table PAR1') })).rejects.toThrow(
      `${at} of nyu-mll/glue is not a whole Parquet file`,
    );
    const shard = 'sst2/train-00001-of-00003.parquet';
    await expect(readHub('sst2', 'train', { [shard]: Buffer.from('x') })).rejects.toThrow(
      'nyu-mll/glue holds 1 of the 3 files sst2/train-*.parquet',
    );
    await expect(readHub('qqp', 'train', { [shard]: Buffer.from('x') })).rejects.toThrow(
      /^QQP has no split train here: nyu-mll\/glue@[0-9a-f]{40} has no qqp\/train-\*\.parquet/,
    );
    await expect(openGlue('no such folder', {})).rejects.toThrow('GLUE data "no such folder" is no folder');
  });
});

/** The official files in miniature: names, headers and numbers of columns are theirs. */
const TSV = {
  'CoLA/train.tsv': 'gj04\t1\t\t"He left.\nsks13\t0\t*\tLeft he" did.\n',
  'CoLA/test.tsv': 'index\tsentence\n1\tSecond.\n0\tFirst.\n',
  'SST-2/train.tsv': 'sentence\tlabel\nfine and dandy \t1\n\ndull \t0\n',
  'MRPC/train.tsv': '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t10\t20\tA "b .\tB a .\r\n',
  'MRPC/test.tsv': 'index\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n0\t10\t20\tA .\tB .\r\n',
  'STS-B/dev.tsv':
    'index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n0\tg\tf\ty\t1\tn\tn\tA.\tB.\t4.750\n1\tg\tf\ty\t1\tn\tn\tC.\tD.\t0\n',
  'QQP/train.tsv':
    'id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n9\t1\t2\tWhy?\tHow?\t0\n8\t3\tcut short\n7\t5\t6\tWho?\tWho?\t1\n',
  'QQP/test.tsv': 'id\tquestion1\tquestion2\n0\tWhy?\tHow?\n',
  'MNLI/dev_matched.tsv':
    'index\tpromptID\tpairID\tgenre\ts1bp\ts2bp\ts1p\ts2p\tsentence1\tsentence2\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label\n0\t1\t1c\tx\t(\t(\t(\t(\tP.\tH.\tneutral\t\t\t\t\tcontradiction\n',
  'QNLI/dev.tsv': 'index\tquestion\tsentence\tlabel\n0\tWho?\tMe.\tnot_entailment\n',
  'RTE/dev.tsv': 'index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tentailment\n',
  'WNLI/dev.tsv': 'index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\t1\n',
  'diagnostic/diagnostic.tsv': 'index\tsentence1\tsentence2\n0\tP.\tH.\n',
};

describe('GLUE in a folder', () => {
  async function readTsv(
    name: GlueTaskName,
    split: string,
    files: Readonly<Record<string, string | Uint8Array>>,
  ) {
    const folder = await temporaryFolder();
    await writeFiles(folder, files);
    const glue = await openGlue(folder, {});
    return glue.read(glueTask(name), splitOf(name, split));
  }
  const read = (name: GlueTaskName, split: string) => readTsv(name, split, TSV);

  it('reads the official files of every task', async () => {
    expect(await read('cola', 'train')).toEqual([
      { index: 0, texts: ['"He left.'], label: 1 },
      { index: 1, texts: ['Left he" did.'], label: 0 },
    ]);
    expect(await read('cola', 'test')).toEqual([
      { index: 1, texts: ['Second.'], label: undefined },
      { index: 0, texts: ['First.'], label: undefined },
    ]);
    expect(await read('sst2', 'train')).toEqual([
      { index: 0, texts: ['fine and dandy '], label: 1 },
      { index: 1, texts: ['dull '], label: 0 },
    ]);
    expect(await read('mrpc', 'train')).toEqual([{ index: 0, texts: ['A "b .', 'B a .'], label: 1 }]);
    expect(await read('mrpc', 'test')).toEqual([{ index: 0, texts: ['A .', 'B .'], label: undefined }]);
    expect((await read('stsb', 'validation')).map(({ label }) => label)).toEqual([4.75, 0]);
    expect(await read('mnli', 'validation_matched')).toEqual([{ index: 0, texts: ['P.', 'H.'], label: 2 }]);
    expect(await read('mnli', 'diagnostic')).toEqual([{ index: 0, texts: ['P.', 'H.'], label: undefined }]);
    expect(await read('qnli', 'validation')).toEqual([{ index: 0, texts: ['Who?', 'Me.'], label: 1 }]);
    expect(await read('rte', 'validation')).toEqual([{ index: 0, texts: ['A.', 'B.'], label: 0 }]);
    expect(await read('wnli', 'validation')).toEqual([{ index: 0, texts: ['A.', 'B.'], label: 1 }]);
  });

  it("leaves out QQP's rows that lack columns, as the official loaders do", async () => {
    expect(await read('qqp', 'train')).toEqual([
      { index: 0, texts: ['Why?', 'How?'], label: 0 },
      { index: 2, texts: ['Who?', 'Who?'], label: 1 },
    ]);
    expect(await read('qqp', 'test')).toEqual([{ index: 0, texts: ['Why?', 'How?'], label: undefined }]);
  });

  it("parts MRPC's corpus by its list of dev", async () => {
    const rows = ['1\t1\t2\tA\tB', '0\t3\t4\tC\tD', '1\t1\t4\tE\tF'].map((row) => `${row}\r\n`).join('');
    const header = '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n';
    const files = {
      'MRPC/msr_paraphrase_train.txt': header + rows,
      'MRPC/dev_ids.tsv': '3\t4\r\n9\t9\n',
      'MRPC/msr_paraphrase_test.txt': header + rows,
    };
    const indexes = async (split: string) =>
      (await readTsv('mrpc', split, files)).map(({ index, label }) => [index, label]);
    expect(await indexes('train')).toEqual([
      [0, 1],
      [2, 1],
    ]);
    expect(await indexes('validation')).toEqual([[1, 0]]);
    expect(await indexes('test')).toEqual([0, 1, 2].map((index) => [index, undefined]));
    await expect(readTsv('mrpc', 'train', { 'MRPC/msr_paraphrase_train.txt': header })).rejects.toThrow(
      /dev_ids\.tsv does not exist; it belongs to the official files$/,
    );
  });

  it('names file, line and column of what is wrong', async () => {
    const bad = (name: GlueTaskName, split: string, file: string, content: string | Uint8Array) =>
      expect(readTsv(name, split, { [file]: content })).rejects;
    await bad('cola', 'train', 'CoLA/train.tsv', 'a\t1\t\tx\nb\t1\n').toThrow(
      `${join('CoLA', 'train.tsv')} line 2 has 2 columns and none for mark, expected at least 4`,
    );
    await bad('cola', 'train', 'CoLA/train.tsv', 'a\tyes\t\tx\n').toThrow(
      `${join('CoLA', 'train.tsv')} line 1: label is "yes", expected one of 0 (unacceptable), 1 (acceptable)`,
    );
    await bad('sst2', 'train', 'SST-2/train.tsv', 'text\tlabel\nx\t1\n').toThrow(
      'line 1 names no column sentence; it has text, label: expected the official file of SST-2',
    );
    await bad('stsb', 'train', 'STS-B/train.tsv', 'sentence1\tsentence2\tscore\na\tb\t5.1\n').toThrow(
      'line 2: score is "5.1", expected a score from 0 to 5',
    );
    await bad('mnli', 'train', 'MNLI/train.tsv', 'sentence1\tsentence2\tgold_label\na\tb\t-\n').toThrow(
      'line 2: gold_label is "-", expected one of 0 (entailment), 1 (neutral), 2 (contradiction)',
    );
    await bad('rte', 'test', 'RTE/test.tsv', 'index\tsentence1\tsentence2\nx\ta\tb\n').toThrow(
      'line 2: the index is "x", expected a whole number',
    );
    await bad('rte', 'train', 'RTE/train.tsv', new Uint8Array([0xff, 0xfe])).toThrow('is not UTF-8 text');
    await bad('rte', 'train', 'RTE/dev.tsv', '').toThrow(
      /RTE has no split train here: .* has no RTE\/train\.tsv/,
    );
    await bad('mnli', 'diagnostic', 'x', '').toThrow('diagnostic/diagnostic.tsv or AX/AX.tsv');
  });
});
