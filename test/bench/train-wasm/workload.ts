import { createCollator } from '../../../pipeline/collate.ts';
import { type Batch, createTokenizer } from '../../../pipeline/index.ts';
import { builtinTokenizer } from '../../../pipeline/text/builtin-vocabulary.ts';
import { type BertConfig, modelPreset } from '../../../src/model/config.ts';
import type { SessionOptions } from '../../../src/train/session.ts';
import { readSpeeches } from '../speeches.ts';

/** What every contender trains: sizes, rates, objective and optimiser. */
export const WORKLOAD = {
  model: modelPreset('tiny'),
  batchSize: 16,
  maxSeqLen: 64,
  numNegatives: 50,
  seed: 7,
  learningRate: 1e-4,
  objective: { mode: 'taco', temperature: 0.07, tcWeight: 1 },
  optimizer: { weightDecay: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
} as const satisfies Omit<SessionOptions, 'model'> & { readonly model: BertConfig } & Record<string, unknown>;

/** An endless row of batches of American speeches, the same for every contender. */
export function* workloadBatches(): Generator<Batch, never> {
  const { batchSize, maxSeqLen, model, numNegatives, seed } = WORKLOAD;
  const tokenizer = createTokenizer(builtinTokenizer());
  const text = readSpeeches();
  const { ids } = tokenizer.encodeDocuments(text, Uint32Array.of(text.length));
  const collate = createCollator(
    { maxSeqLen, vocabSize: model.vocabSize, specialTokenIds: builtinTokenizer().specialTokenIds },
    {
      batchSize,
      seed,
      mlmProbability: 0.15,
      taco: { numNegatives, positiveWindow: 5, windowRule: 'readme', variant: 'all', excludeSpecial: false },
    },
    'train',
  );
  const numTokens = batchSize * maxSeqLen;
  const numBatches = Math.floor(ids.length / numTokens);
  for (let index = 0; ; index += 1) {
    const start = (index % numBatches) * numTokens;
    yield collate({
      ids: Int32Array.from(ids.subarray(start, start + numTokens)),
      rowNumbers: Array.from({ length: batchSize }, (_, row) => index * batchSize + row),
      cursor: { version: 2, seed, position: (index + 1) * batchSize, datasets: [] },
    });
  }
}
