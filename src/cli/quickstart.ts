import { join } from 'node:path';
import { lastValueFrom, tap } from 'rxjs';
import {
  BUILTIN_TOKENIZER,
  createHubFiles,
  createPrepareConfig,
  hubFromEnvironment,
  prepare,
} from '../../pipeline/index.ts';
import {
  type MetricsLine,
  planRun,
  type RawSettings,
  type RunPlan,
  readMetrics,
  resolveConfig,
  runFiles,
  train,
} from '../train/index.ts';
import { type Candidate, fillMask, openModel } from '../inference/index.ts';
import { type CommandSpec, type Flag, runCommand } from './command.ts';
import { createPreparationReporter } from './preparation-reporter.ts';
import { createProgress, type Progress } from './progress.ts';
import { createTrainingReporter } from './training-reporter.ts';

const DATASET = join('cache', 'datasets', 'quickstart-64');
const RUN = join('runs', 'quickstart');
const SENTENCE = 'The people of the United [MASK] are free.';

/** A minute or two on two cores, also without TensorFlow; a fixed number, so that all runs are alike. */
const DEFAULT_STEPS = 120;

function settingsOf(maxSteps: number): RawSettings {
  const third = Math.ceil(maxSteps / 3);
  return {
    data: DATASET,
    out: RUN,
    mode: 'taco',
    model: 'tiny',
    'batch-size': 16,
    'grad-accum': 1,
    'max-steps': maxSteps,
    'warmup-steps': Math.floor(maxSteps / 6),
    lr: 2e-3,
    'save-steps': third,
    'save-total-limit': 2,
    'eval-steps': third,
    'eval-rows': 64,
  };
}

const spec = {
  usage: 'npm run quickstart --',
  summary:
    'Shows the whole way in a minute or two, without network: prepares a built-in sample, trains a tiny TACO model, evaluates it and lets it fill a mask.',
  flags: {
    'max-steps': { type: 'number', help: `updates of training (default: ${DEFAULT_STEPS})` },
    backend: {
      type: 'string',
      placeholder: 'auto|tensorflow|wasm',
      help: 'where tensors are computed (default: auto)',
    },
  },
} as const satisfies CommandSpec<Readonly<Record<string, Flag>>>;

await runCommand(spec, async ({ flags, signal }) => {
  const { 'max-steps': maxSteps = DEFAULT_STEPS, backend } = flags;
  const progress = createProgress();
  if (!(await prepareSample(progress, signal))) return;
  const plan = await planRun(resolveConfig({ flags: { ...settingsOf(maxSteps), backend } }));
  if (!(await trainTiny(plan, progress, signal))) return;
  await showResult(plan);
});

/** @returns false when interrupted */
async function prepareSample(progress: Progress, signal: AbortSignal): Promise<boolean> {
  const config = createPrepareConfig({
    sources: ['sample'],
    tokenizer: BUILTIN_TOKENIZER,
    maxSeqLen: 64,
    validation: '1%',
    out: DATASET,
  });
  const sources = { ...hubFromEnvironment(process.env), signal };
  const reporter = createPreparationReporter({ out: config.out, progress, profile: false });
  try {
    const events$ = prepare(config, { sources, tokenizers: createHubFiles(sources), signal });
    const last = await lastValueFrom(events$.pipe(tap(reporter.report)), { defaultValue: undefined });
    return last?.type === 'done';
  } finally {
    reporter.close();
  }
}

/** @returns false when interrupted */
async function trainTiny(plan: RunPlan, progress: Progress, signal: AbortSignal): Promise<boolean> {
  const reporter = createTrainingReporter(plan, progress);
  let outcome: Awaited<ReturnType<typeof train>> | undefined;
  try {
    outcome = await train(plan, { resume: undefined, override: true, signal, report: reporter.report });
    return outcome.status !== 'interrupted';
  } finally {
    reporter.close(outcome);
  }
}

async function showResult(plan: RunPlan): Promise<void> {
  const model = await openModel(RUN, { context: {}, backend: plan.config.backend });
  try {
    const [candidates = []] = fillMask(model, SENTENCE);
    const metrics = await readMetrics(join(RUN, runFiles.metrics));
    const lines = [
      '',
      ...lossLines(plan, metrics),
      '',
      SENTENCE,
      ...candidates.map(candidateLine),
      `  (after ${plan.config.maxSteps} updates it knows how frequent words are, and little more)`,
      '',
      `shards      ${DATASET}`,
      `checkpoint  ${model.reference}`,
      `metrics     ${join(RUN, runFiles.metrics)}`,
      `loss plot   ${join(RUN, runFiles.plot)}`,
      '',
      'next: npm run prepare-data -- --help, npm run train -- --help',
    ];
    process.stdout.write(`${lines.join('\n')}\n`);
  } finally {
    model.dispose();
  }
}

/** First and last evaluation beside the losses of guessing. */
function lossLines(plan: RunPlan, metrics: readonly MetricsLine[]): readonly string[] {
  const evaluations = metrics.filter((line) => line.type === 'validation');
  const first = evaluations[0];
  const last = evaluations.at(-1);
  if (first === undefined || last === undefined) return [];
  const change = (before: number | null | undefined, after: number | null | undefined): string =>
    `${before?.toFixed(2) ?? '–'} → ${after?.toFixed(2) ?? '–'}`;
  return [
    `validation after ${last.step} updates`,
    `  MLM loss  ${change(first.mlmLoss, last.mlmLoss)}  (chance ${Math.log(plan.model.vocabSize).toFixed(2)})`,
    `  TC loss   ${change(first.tcLoss, last.tcLoss)}  (chance ${Math.log(1 + plan.config.negK).toFixed(2)})`,
  ];
}

function candidateLine({ token, probability }: Candidate): string {
  return `  ${(100 * probability).toFixed(1).padStart(5)} %  ${token}`;
}
