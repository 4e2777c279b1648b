import { join } from 'node:path';
import { ensureFolder, writeFileAtomic } from '../../pipeline/index.ts';
import {
  type ChosenEpoch,
  checkpointScores,
  compareModels,
  comparisonMarkdown,
  findResults,
  GLUE_TASKS,
  glueTask,
  type GlueTask,
  type LabelledResults,
  packSubmission,
  runGlue,
  scoreTable,
  tableJson,
  tableMarkdown,
} from '../glue/index.ts';
import { scorePlot } from '../report/score-plot.ts';
import { type CommandSpec, type Flag, runCommand, usageError, wholeFlag } from './command.ts';
import { finetuneFlags, openFinetuning } from './finetune-flags.ts';
import { createFinetuneReporter } from './finetune-reporter.ts';
import { createProgress, type Progress } from './progress.ts';

const DEFAULT_SEEDS = 5;
const SEVERAL_OUT = join('runs', 'glue');

const spec = {
  usage: 'npm run glue --',
  summary:
    'Fine-tunes one pretrained model, or several, on the tasks of GLUE with several seeds and prints the table of the paper. What is finished is not done again.',
  positionals: ['model…'],
  flags: {
    tasks: { type: 'string', placeholder: 'names', help: 'as in cola,rte (default: all but wnli)' },
    seeds: {
      type: 'number',
      help: `how many, counted from --seed (default: ${DEFAULT_SEEDS})`,
    },
    ...finetuneFlags,
    compare: {
      type: 'boolean',
      help: 'compare the results of two models seed by seed; trains nothing',
    },
    out: {
      type: 'string',
      placeholder: 'folder',
      help: `where table and plot go (default: with one model the folder of its results, with several ${SEVERAL_OUT})`,
    },
  },
  examples: [
    'npm run glue -- runs/taco-small',
    'npm run glue -- runs/taco-small --tasks rte,mrpc --seeds 3',
    'npm run glue -- runs/mlm/checkpoint-* runs/taco/checkpoint-*',
    'npm run glue -- --compare runs/mlm runs/taco',
  ],
} as const satisfies CommandSpec<Readonly<Record<string, Flag>>>;

await runCommand(spec, async ({ flags, positionals, signal }) => {
  const { tasks: taskNames, seeds: numSeeds, compare, out, ...rest } = flags;
  if (compare === true) {
    process.stdout.write(await comparison(positionals));
    return;
  }
  if (positionals.length === 0)
    throw usageError(`got no model, expected one or several: ${spec.examples[0]}`);
  const tasks = tasksOf(taskNames);
  const progress = createProgress();
  try {
    const { settings, firstSeed, precision, data, open, check } = await openFinetuning(rest, {
      progress,
      signal,
    });
    const count = wholeFlag('seeds', numSeeds ?? DEFAULT_SEEDS, 1);
    const seeds = Array.from({ length: count }, (_, index) => firstSeed + index);
    const models: LabelledResults[] = [];
    let tableFolder = out ?? SEVERAL_OUT;
    // What is wrong with the last model should not come out after hours with the others.
    for (const reference of positionals.slice(1)) await check(reference);
    for (const reference of positionals) {
      const { model, folder } = await open(reference);
      if (positionals.length === 1) tableFolder = out ?? folder;
      else progress.message(`${model.name}:`);
      const report = createFinetuneReporter(progress);
      const run = { model, data, tasks, seeds, settings, precision, folder, signal, report };
      models.push({ label: model.name, results: await runGlue(run) });
      await packSubmissions(folder, seeds, progress);
    }
    process.stdout.write(await writeTables(models, tableFolder));
    if (models.length > 1) progress.message(`plot in ${await writePlot(models, tableFolder)}`);
  } finally {
    progress.finish();
  }
});

/** WNLI is made to mislead and no part of the average. */
function tasksOf(names: string | undefined): readonly GlueTask[] {
  if (names === undefined) return Object.values(GLUE_TASKS).filter(({ name }) => name !== 'wnli');
  return [...new Set(names.split(',').map((name) => glueTask(name.trim())))];
}

async function packSubmissions(folder: string, seeds: readonly number[], progress: Progress): Promise<void> {
  for (const seed of seeds) {
    const packed = await packSubmission(folder, seed);
    if ('path' in packed) {
      progress.message(`submission for the GLUE server in ${packed.path}`);
      continue;
    }
    const [first, ...more] = packed.gaps;
    const rest = more.length === 0 ? '' : ` (and ${more.length} more)`;
    progress.message(`seed ${seed}: no submission for the GLUE server yet: ${first!}${rest}`);
  }
}

async function writeTables(models: readonly LabelledResults[], folder: string): Promise<string> {
  await ensureFolder(folder);
  const texts: string[] = [];
  for (const epoch of ['last', 'best'] as const satisfies readonly ChosenEpoch[]) {
    const rows = scoreTable(models, epoch);
    texts.push(tableMarkdown(rows, epoch));
    await writeFileAtomic(join(folder, `table-${epoch}.json`), tableJson(rows, epoch));
  }
  const text = texts.join('\n');
  await writeFileAtomic(join(folder, 'table.md'), text);
  return text;
}

async function writePlot(models: readonly LabelledResults[], folder: string): Promise<string> {
  const { series, columns } = checkpointScores(models, 'last');
  const names = columns.map(({ title }) => title).join(', ');
  const path = join(folder, 'scores.svg');
  await writeFileAtomic(
    path,
    scorePlot(series, { title: 'GLUE over pretraining', scoreName: `mean of ${names} (percent)` }),
  );
  return path;
}

async function comparison(references: readonly string[]): Promise<string> {
  const [first, second, extra] = references;
  if (first === undefined || second === undefined || extra !== undefined) {
    throw usageError(`--compare got ${references.length} models, expected two: ${spec.examples[3]}`);
  }
  const [a, b] = [await findResults(first), await findResults(second)];
  return (['last', 'best'] as const)
    .map((epoch) => comparisonMarkdown(compareModels(a, b, epoch), epoch))
    .join('\n');
}
