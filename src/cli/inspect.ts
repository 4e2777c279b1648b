import {
  createHub,
  createTokenizer,
  type Dataset,
  describeMaking,
  describeSources,
  describeTotals,
  exact,
  type Fact,
  hubFromEnvironment,
  openDataset,
  type Split,
  TacoError,
  verifyDataset,
} from '../../pipeline/index.ts';
import { type CommandSpec, type Flag, runCommand, usageError, wholeFlag } from './command.ts';
import { describeRows } from './dataset-rows.ts';
import { createProgress, formatBytes, type Progress } from './progress.ts';

const spec = {
  usage: 'npm run inspect --',
  summary:
    'Shows what a prepared dataset is and what its rows say. The dataset is a folder, or hub:org/name[@revision].',
  positionals: ['dataset'],
  flags: {
    row: { type: 'number', help: 'number of the first row shown, from 0 (default: 0)' },
    rows: { type: 'number', help: 'how many rows are shown (default: 1)' },
    split: { type: 'string', placeholder: 'train|validation', help: 'which rows (default: train)' },
    verify: {
      type: 'boolean',
      help: 'read all shards, compare their hashes and decode every row, instead of showing some',
    },
  },
  examples: [
    'npm run inspect -- cache/datasets/wiki-books-256 --split validation --row 5 --rows 3',
    'npm run inspect -- hub:org/name --verify',
  ],
} as const satisfies CommandSpec<Readonly<Record<string, Flag>>>;

await runCommand(spec, async ({ flags, positionals, signal }) => {
  const [reference] = positionals;
  if (reference === undefined) {
    throw usageError(
      'no dataset given; expected its folder or hub:org/name, as in npm run inspect -- cache/datasets/x',
    );
  }
  const split = splitOf(flags.split ?? 'train');
  const first = wholeFlag('row', flags.row ?? 0, 0);
  const count = wholeFlag('rows', flags.rows ?? 1, 1);
  const progress = createProgress();
  const onWait = ({ message }: { readonly message: string }): void => {
    progress.message(message);
  };
  const connect = () => createHub({ ...hubFromEnvironment(process.env), signal, onWait });
  const dataset = await openDataset(reference, {
    connect,
    checkShards: flags.verify !== true,
    unfinished: true,
  });
  if (flags.verify === true) {
    process.stdout.write(`${table(dataset)}\n`);
    await verify(dataset, reference, progress, signal);
    return;
  }
  const available = dataset.numRows(split);
  if (first >= available) {
    throw usageError(
      `--row is ${first}, expected a number below ${available}: ${reference} has ${exact(available)} ${split} rows`,
    );
  }
  const tokenizer = createTokenizer(await dataset.readTokenizer());
  process.stdout.write(`${table(dataset)}\n`);
  const shown = Math.min(count, available - first);
  for await (const text of describeRows(dataset, tokenizer, split, first, shown)) {
    if (signal.aborted) return;
    process.stdout.write(`\n${text}\n`);
  }
});

function splitOf(name: string): Split {
  if (name === 'train' || name === 'validation') return name;
  throw usageError(`--split is "${name}", expected train or validation`);
}

/** What the dataset is. */
function table({ reference, manifest, fingerprint, rowsPerGroup }: Dataset): string {
  const { status, shards, settings } = manifest;
  const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
  const state = status === 'complete' ? 'complete' : 'unfinished: what follows is what is there so far';
  const facts: readonly Fact[] = [
    ['dataset', `${reference}, ${state}`],
    ['fingerprint', fingerprint],
    ...describeSources(manifest),
    ...describeMaking(manifest),
    [
      'shards',
      `${shards.length}, ${formatBytes(bytes)}; ${exact(settings.rowsPerShard)} training rows each, ${rowsPerGroup} a row group`,
    ],
    ...describeTotals(manifest),
  ];
  const width = Math.max(...facts.map(([name]) => name.length)) + 2;
  return facts.map(([name, text]) => `${name.padEnd(width)}${text}`).join('\n');
}

async function verify(
  dataset: Dataset,
  reference: string,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  let damaged = 0;
  let damagedState = 0;
  try {
    for await (const event of verifyDataset(dataset, { signal })) {
      if (event.kind === 'damaged') {
        if (event.shard === undefined) damagedState += 1;
        else damaged += 1;
        progress.message(`${event.name} is damaged: ${event.damage}`);
        continue;
      }
      const { file, doneBytes, totalBytes } = event;
      const figures = [`${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`, file];
      progress.update({ label: 'verify', done: doneBytes, total: totalBytes, figures });
    }
    await dataset.readTokenizer();
  } finally {
    progress.finish();
  }
  const count = dataset.manifest.shards.length;
  if (damaged > 0) {
    throw new TacoError(`${damaged} of ${count} shards of ${reference} are damaged; ${dataset.remedy}`, {
      code: 'corrupt',
      stage: 'shards',
      path: reference,
    });
  }
  if (damagedState > 0) {
    throw new TacoError(
      `the shards of ${reference} are whole, but ${damagedState} of ${dataset.manifest.seen.length} files that tell which documents were seen are damaged, without which nothing can be added or made anew; restore them, or remove the folder and prepare it again`,
      { code: 'corrupt', stage: 'shards', path: reference },
    );
  }
  process.stdout.write(
    `\n${reference} is whole: ${exact(count)} shards have the hashes and rows of the manifest\n`,
  );
}
