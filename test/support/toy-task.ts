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

/**
 * Writes tasks that can be learnt from the presence of one word, in GLUE's official layout: SST-2 with a test split, and
 * STS-B, whose scores are 1 and 4, without one.
 */
export async function writeToyGlue(folder: string, numTrain = 128): Promise<void> {
  const sst2 = (rows: ReturnType<typeof toyRows>): string =>
    ['sentence\tlabel', ...rows.map(({ text, label }) => `${text}\t${label}`), ''].join('\n');
  const stsb = (rows: ReturnType<typeof toyRows>): string =>
    [
      'index\tsentence1\tsentence2\tscore',
      ...rows.map(({ text, label }, index) => `${index}\t${text}\tword7\t${1 + 3 * label}.000`),
      '',
    ].join('\n');
  const test = toyRows(20, 3).map(({ text }, index) => `${index}\t${text}`);
  await writeFiles(folder, {
    'SST-2/train.tsv': sst2(toyRows(numTrain, 1)),
    'SST-2/dev.tsv': sst2(toyRows(60, 2)),
    'SST-2/test.tsv': ['index\tsentence', ...test, ''].join('\n'),
    'STS-B/train.tsv': stsb(toyRows(numTrain, 1)),
    'STS-B/dev.tsv': stsb(toyRows(60, 2)),
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
