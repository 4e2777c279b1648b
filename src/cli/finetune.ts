import { glueTask, runGlue } from '../glue/index.ts';
import { type CommandSpec, type Flag, runCommand, usageError } from './command.ts';
import { finetuneFlags, openFinetuning } from './finetune-flags.ts';
import { createFinetuneReporter } from './finetune-reporter.ts';
import { createProgress } from './progress.ts';

const spec = {
  usage: 'npm run finetune --',
  summary:
    'Fine-tunes a pretrained model on one task of GLUE: a run, one of its checkpoints, a Hugging Face folder, or hub:org/name.',
  positionals: ['model'],
  flags: {
    task: {
      type: 'string',
      placeholder: 'name',
      help: 'cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte or wnli',
    },
    ...finetuneFlags,
    out: {
      type: 'string',
      placeholder: 'folder',
      help: "where the result goes (default: glue/<checkpoint> in the run's folder, <folder>-glue for another model, runs/glue/<name> for one of the Hub)",
    },
  },
  examples: [
    'npm run finetune -- runs/taco-small --task rte',
    'npm run finetune -- runs/x/checkpoint-100000 --task mnli --data glue_data --lr 3e-5 --epochs 3 --seed 1',
  ],
} as const satisfies CommandSpec<Readonly<Record<string, Flag>>>;

await runCommand(spec, async ({ flags, positionals, signal }) => {
  const { task: taskName, out, ...rest } = flags;
  const [reference] = positionals;
  if (reference === undefined) throw usageError(`got no model, expected one: ${spec.examples[0]}`);
  if (taskName === undefined) throw usageError(`got no --task, expected one: ${spec.flags.task.help}`);
  const task = glueTask(taskName);
  const progress = createProgress();
  try {
    const { settings, firstSeed, precision, data, open } = await openFinetuning(rest, {
      progress,
      signal,
    });
    const { model, folder } = await open(reference);
    await runGlue({
      model,
      data,
      tasks: [task],
      seeds: [firstSeed],
      settings,
      precision,
      folder: out ?? folder,
      signal,
      report: createFinetuneReporter(progress),
    });
    progress.message(`result in ${out ?? folder}`);
  } finally {
    progress.finish();
  }
});
