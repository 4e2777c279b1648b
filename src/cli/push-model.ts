import { createHubWriter, hubFromEnvironment, TacoError, totalBytesOf } from '../../pipeline/index.ts';
import { type ModelPushPlan, planModelPush, pushModel } from '../export/index.ts';
import { type CommandSpec, type Flag, runCommand } from './command.ts';
import { confirm } from './confirm.ts';
import { createProgress, formatBytes } from './progress.ts';
import { createPushReporter, describePush, type PlanLine } from './push-reporter.ts';

const spec = {
  usage: 'npm run push-model --',
  summary:
    'Uploads an exported model to the Hugging Face Hub. Needs HF_TOKEN with write permission. Run again after an interruption, it uploads what is missing.',
  positionals: ['folder', 'org/name'],
  flags: {
    private: {
      type: 'boolean',
      help: 'a new repository is private (the default); refuse one that is public',
    },
    public: {
      type: 'boolean',
      help: 'a new repository is public, after a question; one that is there stays as it is',
    },
    yes: { type: 'boolean', help: 'answers the question before anything becomes public with yes' },
    revision: { type: 'string', placeholder: 'branch', help: 'branch to push to (default: main)' },
    'dry-run': { type: 'boolean', help: 'print what would be uploaded, change nothing' },
  },
  examples: ['npm run push-model -- out/taco-small org/taco-small'],
} as const satisfies CommandSpec<Readonly<Record<string, Flag>>>;

await runCommand(spec, async ({ flags, positionals, signal }) => {
  const [folder, repository] = positionals;
  if (folder === undefined || repository === undefined) {
    throw badFlag(
      'expected an exported model and a name on the Hub, as in npm run push-model -- out/x org/name',
    );
  }
  if (flags.private === true && flags.public === true) {
    throw badFlag('--private and --public are given, expected one of them');
  }
  const progress = createProgress();
  const hub = createHubWriter({
    ...hubFromEnvironment(process.env),
    signal,
    onWait: ({ message }) => {
      progress.message(message);
    },
  });
  const visibility = flags.public === true ? 'public' : flags.private === true ? 'private' : undefined;
  const plan = await planModelPush({
    folder,
    repository,
    hub,
    visibility,
    branch: flags.revision ?? 'main',
    signal,
  });
  process.stdout.write(`${describePush(plan, [['model', folder]], fileLines(plan))}\n`);
  if (flags['dry-run'] === true) return;
  if (plan.visibility === 'public' && plan.delta.upload.length > 0) {
    const question = `${repository} ${plan.isNew ? 'will be' : 'is'} public: everybody can read this model then. Push it?`;
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

function badFlag(message: string): TacoError {
  return new TacoError(message, { code: 'bad-config', stage: 'flags' });
}
