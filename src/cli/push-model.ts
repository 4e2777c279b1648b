import { totalBytesOf } from '../../pipeline/index.ts';
import { type ModelPushPlan, planModelPush, pushModel } from '../export/index.ts';
import { type CommandSpec, type Flag, runCommand } from './command.ts';
import { confirm } from './confirm.ts';
import { createProgress, formatBytes } from './progress.ts';
import { pushFlags, pushTarget } from './push-command.ts';
import { createPushReporter, describePush, type PlanLine } from './push-reporter.ts';

const spec = {
  usage: 'npm run push-model --',
  summary:
    'Uploads an exported model to the Hugging Face Hub. Needs HF_TOKEN with write permission. Run again after an interruption, it uploads what is missing.',
  positionals: ['folder', 'org/name'],
  flags: {
    private: pushFlags.private,
    public: {
      type: 'boolean',
      help: 'a new repository is public, after a question; one that is there stays as it is',
    },
    yes: { type: 'boolean', help: 'answers the question before anything becomes public with yes' },
    revision: pushFlags.revision,
    'dry-run': pushFlags.dryRun,
  },
  examples: ['npm run push-model -- out/taco-small org/taco-small'],
} as const satisfies CommandSpec<Readonly<Record<string, Flag>>>;

await runCommand(spec, async ({ flags, positionals, signal }) => {
  const progress = createProgress();
  const target = pushTarget(
    {
      positionals,
      flags,
      expected: 'an exported model and a name on the Hub, as in npm run push-model -- out/x org/name',
    },
    { progress, signal },
  );
  const plan = await planModelPush(target);
  process.stdout.write(`${describePush(plan, [['model', target.folder]], fileLines(plan))}\n`);
  if (flags['dry-run'] === true) return;
  if (plan.visibility === 'public' && plan.delta.upload.length > 0) {
    const question = `${target.repository} ${plan.isNew ? 'will be' : 'is'} public: everybody can read this model then. Push it?`;
    await confirm({ question, yes: flags.yes ?? false, signal });
  }
  const reporter = createPushReporter(plan, (reference) => `npm run fill-mask -- ${reference} "…"`, progress);
  try {
    await pushModel(plan, reporter.report);
  } finally {
    reporter.close(signal.aborted);
  }
});

function fileLines({ delta: { upload, stale }, files }: ModelPushPlan): readonly PlanLine[] {
  const kept = files.length - upload.length;
  return [
    ['files', `${upload.length} to upload (${formatBytes(totalBytesOf(upload))}), ${kept} there already`],
    ...(stale.length === 0 ? [] : [['delete', stale.join(', ')] as const]),
  ];
}
