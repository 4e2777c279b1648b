import { planPush, push, type PushPlan, totalBytesOf } from '../../pipeline/index.ts';
import { type CommandSpec, type Flag, runCommand } from './command.ts';
import { createProgress, formatBytes } from './progress.ts';
import { pushFlags, pushTarget } from './push-command.ts';
import { createPushReporter, describePush, type PlanLine } from './push-reporter.ts';

const spec = {
  usage: 'npm run push-data --',
  summary:
    'Uploads a prepared dataset to the Hugging Face Hub, from where train and Python read it. Needs HF_TOKEN with write permission. Run again after an interruption, it uploads what is missing.',
  positionals: ['folder', 'org/name'],
  flags: {
    private: pushFlags.private,
    public: { type: 'boolean', help: 'a new repository is public; one that is there stays as it is' },
    revision: pushFlags.revision,
    'dry-run': pushFlags.dryRun,
  },
  examples: ['npm run push-data -- cache/datasets/wiki-books-256 org/wiki-books-256'],
} as const satisfies CommandSpec<Readonly<Record<string, Flag>>>;

await runCommand(spec, async ({ flags, positionals, signal }) => {
  const progress = createProgress();
  const target = pushTarget(
    {
      positionals,
      flags,
      expected:
        'the folder of a dataset and a name on the Hub, as in npm run push-data -- cache/datasets/x org/name',
    },
    { progress, signal },
  );
  const plan = await planPush(target);
  process.stdout.write(`${describePush(plan, [['dataset', plan.dataset.reference]], shardLines(plan))}\n`);
  if (flags['dry-run'] === true) return;
  const reporter = createPushReporter(plan, (reference) => `npm run train -- --data ${reference}`, progress);
  try {
    await push(plan, reporter.report);
  } finally {
    reporter.close(signal.aborted);
  }
});

function shardLines({ delta: { upload, stale, rest }, files }: PushPlan): readonly PlanLine[] {
  const kept = files.shards.length - upload.length;
  return [
    ['shards', `${upload.length} to upload (${formatBytes(totalBytesOf(upload))}), ${kept} there already`],
    ...(stale.length === 0 ? [] : [['delete', `${stale.length} shards of another dataset`] as const]),
    ['others', rest.length === 0 ? 'nothing to upload' : rest.map(({ path }) => path).join(', ')],
  ];
}
