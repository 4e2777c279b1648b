import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeManifest } from '../../pipeline/shards/manifest.ts';
import { tokenizerFilesOf } from '../../pipeline/text/tokenizer-files.ts';
import { createSpec, type TokenizerSpec, tokenizerFingerprint } from '../../pipeline/text/vocabulary.ts';
import { type DatasetShape, writeDataset } from './dataset.ts';
import { manifestWith } from './manifests.ts';

/** A vocabulary of made-up words with BERT's special tokens at their usual places. */
export function madeUpTokenizer(vocabSize: number): TokenizerSpec {
  const vocabulary = Array.from({ length: vocabSize }, (_, id) => `word${id}`);
  vocabulary.splice(0, 1, '[PAD]');
  vocabulary.splice(100, 4, '[UNK]', '[CLS]', '[SEP]', '[MASK]');
  return createSpec({ vocabulary });
}

/** What training needs besides rows: made-up rows, a tokenizer that fits, and a minute BERT. */
export interface TrainingFiles {
  readonly data: string;
  readonly bertConfig: string;
}

const VOCAB_SIZE = 1100;

/** Writes a dataset of 16-token rows and a bert_config.json of one narrow layer into a folder. */
export async function writeTrainingFiles(
  folder: string,
  shape: Partial<DatasetShape> = {},
): Promise<TrainingFiles> {
  const data = join(folder, 'data');
  const tokenizer = madeUpTokenizer(VOCAB_SIZE);
  const manifest = await writeDataset(data, {
    maxSeqLen: 16,
    rowsPerGroup: 8,
    train: [40],
    validation: [12],
    vocabSize: VOCAB_SIZE,
    ...shape,
  });
  await writeManifest(
    data,
    manifestWith({
      ...manifest,
      tokenizer: {
        ...manifest.tokenizer,
        reference: 'made up',
        vocabSize: VOCAB_SIZE,
        sha256: tokenizer.sha256,
        fingerprint: tokenizerFingerprint(tokenizer),
      },
    }),
  );
  for (const [name, text] of tokenizerFilesOf(tokenizer)) await writeFile(join(data, name), text);
  const bertConfig = join(folder, 'bert_config.json');
  const config = {
    vocab_size: VOCAB_SIZE,
    hidden_size: 32,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    intermediate_size: 64,
    max_position_embeddings: 16,
  };
  await writeFile(bertConfig, JSON.stringify(config));
  return { data, bertConfig };
}

/** Flags of a run of seconds on those files: 12 updates of 2 × 4 rows with TACO. */
export function smallRun(files: TrainingFiles, out: string) {
  return {
    data: files.data,
    'bert-config': files.bertConfig,
    out,
    mode: 'taco',
    'batch-size': 4,
    'grad-accum': 2,
    'max-steps': 12,
    'warmup-steps': 3,
    lr: 1e-3,
    'neg-k': 5,
    'save-steps': 4,
    'eval-steps': 6,
    backend: 'wasm',
  } as const;
}
