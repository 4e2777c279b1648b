import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { datasetCard } from '../../../pipeline/shards/dataset-card.ts';
import { noTotals } from '../../../pipeline/shards/totals.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { manifestWith } from '../../support/manifests.ts';
import { pushBench, REPOSITORY } from '../../support/pushed-dataset.ts';
import { findPython } from '../../support/python.ts';

/** Arguments: folder. Prints rows and columns of each split as `load_dataset` finds them. */
const LOAD = `
import sys, json, datasets
loaded = datasets.load_dataset(sys.argv[1], cache_dir=sys.argv[1] + '-cache')
print(json.dumps({split: [rows.num_rows, rows.column_names, rows[0]['input_ids']] for split, rows in loaded.items()}))
`;

const totals = {
  ...noTotals,
  documents: 12_345,
  textBytes: 4000,
  characters: 3600,
  textTokens: 1000,
  tokens: 1200,
  unknownTokens: 5,
};

describe('datasetCard', () => {
  it('tells where the splits are, what they were made from and how to use them', () => {
    const manifest = manifestWith({ totals: { ...totals, trainRows: 1_500_000, validationRows: 7000 } });
    const card = datasetCard(manifest, 'org/wiki', 'main');
    const [, head, body] = card.split('---\n');
    expect(head).toContain('license: other\n');
    expect(head).toContain('size_categories:\n- 1M<n<10M\n');
    expect(head).toContain(
      'configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: train/*.parquet\n  - split: validation\n    path: validation/*.parquet\n',
    );
    expect(body).toContain('b04c8d1ceb2f5cd4588862100d08de323dccfbaa');
    expect(body).toContain('google-bert/bert-base-uncased');
    expect(body).toContain('| text | 4,000 bytes, 3.60 characters per token |');
    expect(body).toContain('| tokens | 1,200 (unknown 0.5 %) |');
    expect(body).toContain('datasets.load_dataset("org/wiki")');
    expect(body).toContain('npm run train -- --data hub:org/wiki\n');
    expect(body).toContain(manifest.fingerprint);
  });

  it('names the branch, leaves out a split without rows, and keeps bars out of its tables', () => {
    const base = manifestWith();
    const sources = [{ ...base.sources[0]!, spec: 'hub:a/b|c' }];
    const manifest = manifestWith({ sources, totals: { ...totals, trainRows: 999 } });
    const card = datasetCard(manifest, 'org/wiki', 'v2');
    expect(card).not.toContain('split: validation');
    expect(card).toContain('- n<1K\n');
    expect(card).toContain('load_dataset("org/wiki", revision="v2")');
    expect(card).toContain('--data hub:org/wiki@v2\n');
    expect(card).toContain('hub:a/b\\|c');
  });

  it('counts duplicates where they were looked for', () => {
    const base = manifestWith({ totals: { ...totals, duplicateDocuments: 321, duplicateTokens: 9000 } });
    const card = (dedup: 'none' | 'exact') =>
      datasetCard({ ...base, settings: { ...base.settings, dedup } }, 'org/wiki', 'main');
    expect(card('exact')).toContain('| duplicates | 321 left out (2.6 %), 9,000 tokens |');
    expect(card('none')).toContain('| duplicates | not looked for');
  });

  it('makes load_dataset find both splits of what was pushed', async ({ skip }) => {
    const python = findPython(['datasets']);
    if (python === undefined) return skip('no Python with datasets');
    const bench = await pushBench();
    await bench.push();
    const folder = join(await temporaryFolder(), 'words');
    for (const [name, bytes] of (await bench.hub.filesOf(REPOSITORY))!) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), bytes);
    }
    const offline = { ...process.env, HF_HUB_OFFLINE: '1', HF_DATASETS_OFFLINE: '1' };
    const output = execFileSync(python, ['-c', LOAD, folder], {
      env: offline,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const loaded = JSON.parse(output) as Record<string, [number, string[], number[]]>;
    const dataset = await bench.open();
    const rowOf = async (split: 'train' | 'validation') =>
      Array.from((await dataset.readGroup(split, 0)).ids.slice(0, 16));
    expect(loaded).toEqual({
      train: [85, ['input_ids'], await rowOf('train')],
      validation: [13, ['input_ids'], await rowOf('validation')],
    });
  });
});
