import { type BatchOptions, resolveSampling, type SamplingSettings } from './batch-options.ts';
import { createCollator } from './collate.ts';
import { goOnAt } from './cursor.ts';
import { TacoError } from './errors.ts';
import { MixedRows } from './mixed-rows.ts';
import { byFingerprint, type Mixture, openMixture } from './mixture.ts';
import type { Batch } from './types.ts';

/**
 * The endless sequence of training batches after a cursor: the next B rows of the mixture, and so on, over all
 * epochs. Opening and going on cost the same at any position.
 *
 * @throws TacoError as `openMixture`; `mismatch` for a cursor of something else; `bad-config` without enough rows
 */
export async function* trainingBatches(options: BatchOptions): AsyncGenerator<Batch, never> {
  const settings = resolveSampling(options);
  const { batchSize, seed } = settings;
  const mixture = await openMixture(options.data, options.onWait);
  requireRows(mixture, settings);
  const parts = byFingerprint(mixture.parts);
  const rows = new MixedRows(parts, goOnAt(options.cursor, { seed, parts }));
  const collate = createCollator(mixture, settings, 'train');
  for (;;) {
    const { position } = rows.cursor;
    const rowNumbers = Array.from({ length: batchSize }, (_, row) => position + row);
    const ids = await rows.read(batchSize);
    yield collate({ ids, rowNumbers, cursor: rows.cursor });
  }
}

function requireRows({ parts }: Mixture, { taco }: SamplingSettings): void {
  const needed = taco === undefined || parts.length > 1 ? 1 : 2;
  for (const { dataset, reference } of parts) {
    const numRows = dataset.numRows('train');
    if (numRows >= needed) continue;
    throw new TacoError(
      `the dataset in ${reference} has ${numRows} training rows, expected at least ${needed}; prepare one from more text or with a smaller validation share`,
      { code: 'bad-config', stage: 'batches', path: reference },
    );
  }
}
