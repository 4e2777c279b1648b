import { exact } from '../../pipeline/index.ts';
import { type Geometry, type OpenedModel, openModel, PROBE_WINDOW, probe } from '../inference/index.ts';
import { type CommandSpec, type Flag, runCommand, usageError, wholeFlag } from './command.ts';
import { backendFlag, backendOf, modelContext, writeNotes } from './model-flags.ts';
import { createProgress } from './progress.ts';

const spec = {
  usage: 'npm run probe --',
  summary:
    'Measures how a model spreads its token vectors, on rows held out from training: alignment and uniformity (Wang and Isola 2020) and the mean cosine of random pairs, of the last layer h and of the global semantics g = h - x.',
  positionals: ['model'],
  flags: {
    data: {
      type: 'string',
      multiple: true,
      placeholder: 'folder or hub:org/name',
      help: 'prepared dataset whose validation rows are read (default: what the run was trained on)',
    },
    rows: { type: 'number', help: 'rows at most, spread evenly (default: 256)' },
    seed: { type: 'number', help: 'draws the pairs (default: 0)' },
    backend: backendFlag,
  },
  examples: [
    'npm run probe -- runs/taco-small',
    'npm run probe -- hub:org/name --data cache/datasets/wiki-books-256',
  ],
} as const satisfies CommandSpec<Readonly<Record<string, Flag>>>;

await runCommand(spec, async ({ flags, positionals, signal }) => {
  const [reference] = positionals;
  if (reference === undefined) throw usageError('expected a model, as in npm run probe -- runs/x');
  const maxRows = wholeFlag('rows', flags.rows ?? 256, 2);
  const seed = wholeFlag('seed', flags.seed ?? 0, 0);
  const model = await openModel(reference, {
    backend: backendOf(flags.backend),
    context: modelContext(signal),
  });
  const progress = createProgress();
  try {
    writeNotes(model.notes);
    const data = flags.data ?? dataOf(model);
    const { hidden, global, numRows, numNear, numRandom } = await probe(model, {
      data,
      maxRows,
      seed,
      signal,
      onProgress: (done, total) => {
        progress.update({ label: 'probe', done, total, figures: [`${done} of ${total} rows`] });
      },
    });
    progress.finish();
    const line = (name: string, key: keyof Geometry, what: string): string =>
      `${name.padEnd(12)}${figure(hidden[key])}${figure(global[key])}   ${what}`;
    const lines = [
      `${model.reference} on ${exact(numRows)} validation rows of ${data.join(', ')}`,
      `${exact(numNear)} pairs of near tokens, ${exact(numRandom)} random pairs, seed ${seed}`,
      '',
      `${''.padEnd(12)}${'h'.padStart(9)}${'g'.padStart(9)}`,
      line(
        'alignment',
        'alignment',
        `mean |f(t1) - f(t2)|^2, 0 < |t1 - t2| < ${PROBE_WINDOW}: lower is nearer`,
      ),
      line('uniformity', 'uniformity', 'ln mean exp(-2 |f(s) - f(t)|^2): lower is more even'),
      line('cosine', 'cosine', 'mean of random pairs: 0 where all directions are used'),
    ];
    process.stdout.write(`${lines.join('\n')}\n`);
  } finally {
    progress.finish();
    model.dispose();
  }
});

function figure(value: number): string {
  return value.toFixed(4).padStart(9);
}

/** What the run was trained on. */
function dataOf({ checkpoint, reference }: OpenedModel): readonly string[] {
  if (checkpoint !== undefined) {
    return checkpoint.state.run.data.datasets.map(({ reference: dataset }) => dataset);
  }
  throw usageError(`${reference} does not say what it was trained on; give a prepared dataset with --data`);
}
