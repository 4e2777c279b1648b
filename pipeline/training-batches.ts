import { type BatchOptions, resolveSampling, type SamplingSettings } from './batch-options.ts';
import { createCollator } from './collate.ts';
import { cursorAt, positionOf } from './cursor.ts';
import { TacoError } from './errors.ts';
import { type Dataset, openDataset } from './shards/dataset.ts';
import { TrainingRows } from './training-rows.ts';
import type { Batch } from './types.ts';

/**
 * The endless sequence of training batches after a cursor: batch m holds the rows at positions [m·B, (m+1)·B) of
 * the seed's order, over all epochs. Opening and going on cost the same at any position.
 *
 * @throws TacoError as `openDataset`; `mismatch` for a cursor of something else; `bad-config` without enough rows
 */
export async function* trainingBatches(options: BatchOptions): AsyncGenerator<Batch, never> {
  const settings = resolveSampling(options);
  const dataset = await openDataset(options.folder);
  const { fingerprint, reference } = dataset;
  requireRows(dataset, settings);
  const { batchSize, seed } = settings;
  let position = positionOf(options.cursor, { folder: reference, fingerprint, seed });
  const rows = new TrainingRows(dataset, seed);
  const collate = createCollator(dataset, settings, 'train');
  for (;;) {
    const ids = await rows.read(position, batchSize);
    const rowNumbers = Array.from({ length: batchSize }, (_, row) => position + row);
    position += batchSize;
    yield collate({ ids, rowNumbers, cursor: cursorAt(position, fingerprint, seed) });
  }
}

function requireRows(dataset: Dataset, { taco }: SamplingSettings): void {
  const numRows = dataset.numRows('train');
  const needed = taco === undefined ? 1 : 2;
  if (numRows >= needed) return;
  throw new TacoError(
    `the dataset in ${dataset.reference} has ${numRows} training rows, expected at least ${needed}; prepare one from more text or with a smaller validation share`,
    { code: 'bad-config', stage: 'batches', path: dataset.reference },
  );
}
