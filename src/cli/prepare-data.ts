import { lastValueFrom, tap } from 'rxjs';
import {
  createHubFiles,
  createPrepareConfig,
  HUB_CACHE,
  hubFromEnvironment,
  planPreparation,
  prepare,
  type SourceContext,
} from '../../pipeline/index.ts';
import { type CommandSpec, type Flag, runCommand } from './command.ts';
import { describePlan } from './preparation-plan.ts';
import { createPreparationReporter } from './preparation-reporter.ts';
import { createProgress } from './progress.ts';

const spec = {
  usage: 'npm run prepare-data --',
  summary:
    'Turns text into shards of token ids that train reads. Without flags: Wikipedia and BookCorpus from the Hugging Face Hub, rows of 256 ids, into cache/datasets/wiki-books-256.',
  flags: {
    source: {
      type: 'string',
      multiple: true,
      placeholder: 'source',
      help: 'wikipedia[:dump], bookcorpus, hub:org/name[/config][@revision][#column], file:<path, folder or glob>[#column], sample; a weight in front mixes, as in 3:wikipedia (default: wikipedia, bookcorpus)',
    },
    tokenizer: {
      type: 'string',
      placeholder: 'model, folder or file',
      help: 'WordPiece tokenizer; bert-base-uncased is built in (default: google-bert/bert-base-uncased)',
    },
    'max-seq-len': { type: 'number', help: 'ids per row (default: 256)' },
    packing: {
      type: 'string',
      placeholder: 'concat|documents',
      help: 'concatenate documents and cut, or one document a row (default: concat)',
    },
    remainder: {
      type: 'string',
      placeholder: 'pad|drop',
      help: 'what becomes of the very last row (default: pad)',
    },
    validation: {
      type: 'string',
      placeholder: 'share',
      help: 'documents kept for validation, as 0.5% or 0.005 (default: 0.5%)',
    },
    workers: { type: 'number', help: 'threads that decode, tokenize and encode (default: all cores)' },
    seed: { type: 'number', help: 'decides which documents are validation (default: 42)' },
    out: {
      type: 'string',
      placeholder: 'folder',
      help: 'where the dataset goes (default: cache/datasets/<sources>-<length>)',
    },
    'rows-per-shard': { type: 'number', help: 'training rows in a file (default: 65536)' },
    dedup: {
      type: 'string',
      placeholder: 'none|exact',
      help: 'leave out documents that are byte for byte copies of an earlier one (default: none)',
    },
    'cache-downloads': {
      type: 'boolean',
      help: 'keep whole Hub files in cache/hub (default: read what is needed)',
    },
    profile: { type: 'boolean', help: 'print at the end where the time went' },
    'dry-run': { type: 'boolean', help: 'print what would be done, write nothing' },
  },
  examples: [
    'npm run prepare-data -- --source wikipedia --source bookcorpus --max-seq-len 256 --out cache/datasets/wiki-books-256',
    'npm run prepare-data -- --source "file:texts/**/*.jsonl.gz#body" --tokenizer bert-base-uncased',
    'npm run prepare-data -- --source sample --tokenizer bert-base-uncased --max-seq-len 128',
  ],
} as const satisfies CommandSpec<Readonly<Record<string, Flag>>>;

await runCommand(spec, async ({ flags, signal }) => {
  const config = createPrepareConfig({
    sources: flags.source,
    tokenizer: flags.tokenizer,
    maxSeqLen: flags['max-seq-len'],
    packing: flags.packing,
    remainder: flags.remainder,
    validation: flags.validation,
    workers: flags.workers,
    seed: flags.seed,
    dedup: flags.dedup,
    out: flags.out,
    rowsPerShard: flags['rows-per-shard'],
    cacheDownloads: flags['cache-downloads'],
  });
  const progress = createProgress();
  const onNote = (text: string): void => {
    progress.message(text);
  };
  const sources: SourceContext = {
    ...hubFromEnvironment(process.env),
    cacheFolder: config.cacheDownloads ? HUB_CACHE : undefined,
    signal,
    onWait: ({ message }) => {
      onNote(message);
    },
  };
  const context = { sources, tokenizers: createHubFiles(sources), onNote };
  if (flags['dry-run'] === true) {
    process.stdout.write(`${describePlan(await planPreparation(config, context))}\n`);
    return;
  }
  const reporter = createPreparationReporter({
    out: config.out,
    progress,
    profile: flags.profile === true,
  });
  try {
    await lastValueFrom(prepare(config, { ...context, signal }).pipe(tap(reporter.report)), {
      defaultValue: undefined,
    });
  } finally {
    reporter.close();
  }
});
