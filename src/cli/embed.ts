import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { ensureFolder, exact, messageOf, systemCodeOf, TacoError, VectorFile } from '../../pipeline/index.ts';
import { embedTexts, type OpenedModel, openModel } from '../inference/index.ts';
import { type CommandSpec, type Flag, runCommand, usageError } from './command.ts';
import { backendFlag, backendOf, modelContext, writeNotes } from './model-flags.ts';
import { createProgress } from './progress.ts';

const spec = {
  usage: 'npm run embed --',
  summary:
    'Writes a vector for each line of a text, the mean over its tokens of the last layer, as Parquet with the columns text and embedding. Without a file lines come from standard input.',
  positionals: ['model', 'file'],
  flags: {
    out: { type: 'string', placeholder: 'file.parquet', help: 'file to write' },
    backend: backendFlag,
  },
  examples: [
    'npm run embed -- runs/taco-small sentences.txt --out vectors.parquet',
    'cat sentences.txt | npm run --silent embed -- out/taco-small --out vectors.parquet',
  ],
} as const satisfies CommandSpec<Readonly<Record<string, Flag>>>;

/** Lines of a row group. */
const GROUP_LINES = 1024;

await runCommand(spec, async ({ flags, positionals, signal }) => {
  const [reference, file] = positionals;
  if (reference === undefined || flags.out === undefined) {
    throw usageError(
      'expected a model and --out, as in npm run embed -- runs/x file.txt --out vectors.parquet',
    );
  }
  if (file === undefined && process.stdin.isTTY) {
    throw usageError('no text given; expected a file, or lines on standard input');
  }
  await requireReplaceable(flags.out);
  const input = file === undefined ? process.stdin : await openText(file);
  const model = await openModel(reference, {
    backend: backendOf(flags.backend),
    context: modelContext(signal),
  });
  try {
    writeNotes(model.notes);
    await ensureFolder(dirname(flags.out));
    const { numLines, numCut } = await embedLines(model, input, flags.out, signal);
    if (numCut > 0) {
      writeNotes([
        `${numCut} of ${numLines} lines are longer than the model's ${model.config.maxPositions} tokens and were cut`,
      ]);
    }
    process.stdout.write(`${flags.out}: ${numLines} vectors of ${model.config.hiddenSize}\n`);
  } finally {
    model.dispose();
    input.destroy();
  }
});

/**
 * Refuses to write over anything but vectors, such as the text itself.
 * @throws TacoError `bad-config`, `disk`
 */
async function requireReplaceable(path: string): Promise<void> {
  try {
    if ((await stat(path)).isDirectory()) throw usageError(`--out ${path} is a folder; expected a file`);
    const file = await open(path);
    const { buffer } = await file.read(Buffer.alloc(4), 0, 4).finally(() => file.close());
    if (buffer.toString('latin1') === 'PAR1') return;
  } catch (error) {
    if (error instanceof TacoError) throw error;
    // What stands in the way elsewhere on the path is said when it is written.
    if (systemCodeOf(error) === 'ENOENT' || systemCodeOf(error) === 'ENOTDIR') return;
    throw new TacoError(`cannot read ${path}: ${messageOf(error)}; choose another file with --out`, {
      code: 'disk',
      stage: 'embed',
      path,
      cause: error,
    });
  }
  throw usageError(`--out ${path} is there and is no Parquet; choose another file, or move this one away`);
}

/** @throws TacoError `not-found`, `disk`, `bad-config` for a folder */
async function openText(path: string): Promise<Readable> {
  try {
    if ((await stat(path)).isDirectory()) throw usageError(`${path} is a folder; expected a text file`);
    const stream = createReadStream(path);
    await new Promise((resolve, reject) => stream.once('open', resolve).once('error', reject));
    return stream;
  } catch (error) {
    if (error instanceof TacoError) throw error;
    const isAbsent = systemCodeOf(error) === 'ENOENT';
    throw new TacoError(
      isAbsent ? `${path} does not exist; check the path` : `cannot read ${path}: ${messageOf(error)}`,
      { code: isAbsent ? 'not-found' : 'disk', stage: 'embed', path, cause: error },
    );
  }
}

/** Every line gets a row, empty ones too: rows stay in step with the text. */
async function embedLines(
  model: OpenedModel,
  input: Readable,
  out: string,
  signal: AbortSignal,
): Promise<{ readonly numLines: number; readonly numCut: number }> {
  const progress = createProgress();
  const file = await VectorFile.create(out);
  let numLines = 0;
  let numCut = 0;
  let group: string[] = [];
  const report = (done: number): void => {
    progress.update({ label: 'embed', done, total: undefined, figures: [`${exact(done)} lines`] });
  };
  const flush = async (): Promise<void> => {
    const embedded = await embedTexts(model, group, {
      signal,
      onProgress: (numDone) => {
        report(numLines + numDone);
      },
    });
    await file.write(group, embedded.vectors);
    numLines += group.length;
    numCut += embedded.numCut;
    group = [];
  };
  try {
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      group.push(line);
      if (group.length === GROUP_LINES) await flush();
    }
    if (group.length > 0) await flush();
    if (numLines === 0) throw usageError('the text is empty; expected at least one line');
    await file.finish();
  } catch (error) {
    await file.discard();
    throw error;
  } finally {
    progress.finish();
  }
  return { numLines, numCut };
}
