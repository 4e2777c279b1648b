import { fillMask, openModel } from '../inference/index.ts';
import { type CommandSpec, type Flag, runCommand, usageError } from './command.ts';
import { backendFlag, backendOf, modelContext, writeNotes } from './model-flags.ts';

const spec = {
  usage: 'npm run fill-mask --',
  summary:
    'Prints what a model puts in the place of each [MASK] of a sentence. The model is a run (its newest checkpoint), a checkpoint, an exported or any other Hugging Face folder of BERT, or hub:org/name[@revision].',
  positionals: ['model', 'sentence'],
  flags: { backend: backendFlag },
  examples: [
    'npm run fill-mask -- runs/taco-small "Paris is the [MASK] of France."',
    'npm run fill-mask -- hub:google-bert/bert-base-uncased "Paris is the [MASK] of France."',
  ],
} as const satisfies CommandSpec<Readonly<Record<string, Flag>>>;

const NUM_CANDIDATES = 5;

await runCommand(spec, async ({ flags, positionals, signal }) => {
  const [reference, sentence] = positionals;
  if (reference === undefined || sentence === undefined) {
    throw usageError(
      'expected a model and a sentence, as in npm run fill-mask -- runs/x "Paris is the [MASK] of France."',
    );
  }
  const model = await openModel(reference, {
    backend: backendOf(flags.backend),
    context: modelContext(signal),
  });
  try {
    writeNotes(model.notes);
    const masks = fillMask(model, sentence, NUM_CANDIDATES);
    const blocks = masks.map((candidates, index) => [
      ...(masks.length === 1 ? [] : [`mask ${index + 1}`]),
      ...candidates.map(
        ({ token, probability }) => `${(100 * probability).toFixed(1).padStart(5)} %  ${token}`,
      ),
    ]);
    process.stdout.write(`${blocks.flat().join('\n')}\n`);
  } finally {
    model.dispose();
  }
});
