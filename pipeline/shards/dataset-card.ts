import { describeMaking, describeSources, describeTotals, factTable } from './describe.ts';
import type { Manifest, Split } from './manifest.ts';

/** A line of the card that says which rows it describes. */
export function cardMark(fingerprint: string): string {
  return `<!-- fingerprint: ${fingerprint} -->`;
}

const SIZE_LIMITS = [
  [1e3, 'n<1K'],
  [1e4, '1K<n<10K'],
  [1e5, '10K<n<100K'],
  [1e6, '100K<n<1M'],
  [1e7, '1M<n<10M'],
  [1e8, '10M<n<100M'],
  [1e9, '100M<n<1B'],
  [1e10, '1B<n<10B'],
] as const;

/**
 * The dataset's page on the Hub. Its head tells `datasets.load_dataset` which files each split has; the license is
 * for the owner to state.
 * @param repository `org/name`
 * @param revision branch it is pushed to
 */
export function datasetCard(manifest: Manifest, repository: string, revision: string): string {
  const { settings, totals, fingerprint } = manifest;
  const splits = (['train', 'validation'] as const).filter((split) => rowsOf(manifest, split) > 0);
  const python = revision === 'main' ? `"${repository}"` : `"${repository}", revision="${revision}"`;
  const reference = revision === 'main' ? `hub:${repository}` : `hub:${repository}@${revision}`;
  const lines = [
    '---',
    'license: other',
    'task_categories:',
    '- fill-mask',
    'tags:',
    '- bert',
    '- masked-language-modeling',
    '- pretraining',
    '- tokenized',
    '- taco-pretraining',
    'size_categories:',
    `- ${sizeCategory(totals.trainRows + totals.validationRows)}`,
    'configs:',
    '- config_name: default',
    '  data_files:',
    ...splits.flatMap((split) => [`  - split: ${split}`, `    path: ${split}/*.parquet`]),
    '---',
    cardMark(fingerprint),
    '',
    `# ${repository.split('/')[1]!}`,
    '',
    `Text for pretraining BERT, tokenized and packed into rows of ${settings.maxSeqLen} ids. The license is that of the sources; state it in the head of this page.`,
    '',
    ...factTable([...describeSources(manifest), ...describeMaking(manifest), ...describeTotals(manifest)]),
    '',
    '## Use',
    '',
    '```python',
    'import datasets',
    `dataset = datasets.load_dataset(${python})   # input_ids: list of ${settings.maxSeqLen} int32`,
    '```',
    '',
    '`tokenizer.json` and `vocab.txt` are the tokenizer. To train from here with taco-pretraining, by streaming:',
    '',
    '```sh',
    `npm run train -- --data ${reference}`,
    '```',
  ];
  return `${lines.join('\n')}\n`;
}

function rowsOf({ totals }: Manifest, split: Split): number {
  return split === 'train' ? totals.trainRows : totals.validationRows;
}

function sizeCategory(rows: number): string {
  return SIZE_LIMITS.find(([limit]) => rows < limit)?.[1] ?? '10B<n<100B';
}
