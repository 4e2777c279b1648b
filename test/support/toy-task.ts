import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Random, tokenizerFilesOf, type TokenizerSpec } from '../../pipeline/index.ts';
import { type BertConfig, modelPreset, toHuggingFaceConfig } from '../../src/model/config.ts';
import { writeSafetensors } from '../../src/train/safetensors.ts';
import type { NamedArray } from '../../src/train/session-types.ts';
import { writeFiles } from './glue.ts';

/** Words that say positive and negative in the vocabulary of `madeUpTokenizer`. */
const GOOD = ['word200', 'word201', 'word202'];
const BAD = ['word300', 'word301', 'word302'];

/** A model that learns the tasks in seconds, of the words of `madeUpTokenizer(1100)`. */
export const toyModel: BertConfig = modelPreset('tiny', {
  vocabSize: 1100,
  hiddenSize: 32,
  intermediateSize: 64,
  numLayers: 1,
  maxPositions: 16,
});

/** A sentence of 3 to 12 words, one of which says what class it is of: 1 for good. */
function toySentence(random: Random): { readonly text: string; readonly label: number } {
  const label = random.below(2);
  const words = Array.from({ length: 2 + random.below(10) }, () => `word${400 + random.below(50)}`);
  words.splice(random.below(words.length + 1), 0, (label === 1 ? GOOD : BAD)[random.below(3)]!);
  return { text: words.join(' '), label };
}

function toyRows(count: number, seed: number): readonly { readonly text: string; readonly label: number }[] {
  return Array.from({ length: count }, (_, index) => toySentence(new Random(seed, index)));
}

/** Tasks of `writeToyGlue`. */
export const TOY_TASKS = ['cola', 'sst2', 'mrpc', 'stsb', 'rte'] as const;

/** Lines of an official file: its header, where it has one, and a line for each row. */
function toyFile(
  header: string | undefined,
  rows: ReturnType<typeof toyRows>,
  line: (row: ReturnType<typeof toyRows>[number], index: number) => string,
): string {
  return [...(header === undefined ? [] : [header]), ...rows.map(line), ''].join('\n');
}

/**
 * Writes tasks that can be learnt from the presence of one word, in GLUE's official layout: SST-2 with a test split,
 * CoLA, MRPC, RTE and STS-B, whose scores are 1 and 4, without one.
 */
export async function writeToyGlue(folder: string, numTrain = 128): Promise<void> {
  const files = (rows: ReturnType<typeof toyRows>) => ({
    CoLA: toyFile(undefined, rows, ({ text, label }) => `gj04\t${label}\t\t${text}`),
    'SST-2': toyFile('sentence\tlabel', rows, ({ text, label }) => `${text}\t${label}`),
    MRPC: toyFile(
      'Quality\t#1 ID\t#2 ID\t#1 String\t#2 String',
      rows,
      ({ text, label }, index) => `${label}\t${index}\t${index}\tword7\t${text}`,
    ),
    'STS-B': toyFile(
      'index\tsentence1\tsentence2\tscore',
      rows,
      ({ text, label }, index) => `${index}\t${text}\tword7\t${1 + 3 * label}.000`,
    ),
    RTE: toyFile(
      'index\tsentence1\tsentence2\tlabel',
      rows,
      ({ text, label }, index) =>
        `${index}\t${text}\tword7\t${label === 1 ? 'not_entailment' : 'entailment'}`,
    ),
  });
  const test = toyRows(20, 3).map(({ text }, index) => `${index}\t${text}`);
  const named = (split: string, rows: ReturnType<typeof toyRows>) =>
    Object.fromEntries(Object.entries(files(rows)).map(([task, text]) => [`${task}/${split}.tsv`, text]));
  await writeFiles(folder, {
    ...named('train', toyRows(numTrain, 1)),
    ...named('dev', toyRows(60, 2)),
    'SST-2/test.tsv': ['index\tsentence', ...test, ''].join('\n'),
  });
}

/** Writes a model as Hugging Face's programs leave one. */
export async function writeModelFolder(
  folder: string,
  model: BertConfig,
  parameters: ReadonlyMap<string, NamedArray>,
  tokenizer: TokenizerSpec,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'config.json'), JSON.stringify(toHuggingFaceConfig(model)));
  await writeSafetensors(join(folder, 'model.safetensors'), parameters);
  for (const [name, text] of tokenizerFilesOf(tokenizer)) await writeFile(join(folder, name), text);
}
