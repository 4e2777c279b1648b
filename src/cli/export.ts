import { exportModel } from '../export/index.ts';
import { type CommandSpec, type Flag, runCommand, usageError } from './command.ts';
import { modelContext } from './model-flags.ts';
import { createProgress, formatBytes } from './progress.ts';

const spec = {
  usage: 'npm run export --',
  summary:
    'Writes a checkpoint as a folder that transformers loads in Python and, with --onnx, transformers.js in JavaScript, with a model card. The model is a run (its newest checkpoint), a checkpoint, a Hugging Face folder of BERT, or hub:org/name[@revision].',
  positionals: ['model', 'folder'],
  flags: {
    onnx: { type: 'boolean', help: 'also write onnx/model.onnx, for transformers.js and onnxruntime' },
  },
  examples: [
    'npm run export -- runs/taco-small/checkpoint-100000 out/taco-small --onnx',
    'npm run export -- runs/taco-small out/taco-small',
  ],
} as const satisfies CommandSpec<Readonly<Record<string, Flag>>>;

await runCommand(spec, async ({ flags, positionals, signal }) => {
  const [reference, folder] = positionals;
  if (reference === undefined || folder === undefined) {
    throw usageError(
      'expected a model and a folder to write, as in npm run export -- runs/x/checkpoint-1000 out/x',
    );
  }
  const progress = createProgress();
  const { model, files, notes } = await exportModel(reference, folder, {
    onnx: flags.onnx ?? false,
    context: modelContext(signal),
    onFile: (name) => {
      progress.update({ label: 'export', done: 0, total: undefined, figures: [`writing ${name}`] });
    },
  }).finally(() => {
    progress.finish();
  });
  const width = Math.max(...files.map(({ name }) => name.length)) + 2;
  const lines = [
    `${model.reference} → ${folder}`,
    ...files.map(({ name, bytes }) => `  ${name.padEnd(width)}${formatBytes(bytes)}`),
    ...notes.map((note) => `note: ${note}`),
    `next: npm run fill-mask -- ${folder} "…", npm run push-model -- ${folder} org/name`,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
});
