import {
  type EvaluationOptions,
  resolveSampling,
  type SamplingOptions,
  type SamplingSettings,
} from './batch-options.ts';
import { createCollator } from './collate.ts';
import { cursorAt } from './cursor.ts';
import { TacoError } from './errors.ts';
import { type Dataset, openDataset } from './shards/dataset.ts';
import type { TokenRows } from './shards/reader.ts';
import { copyRow } from './training-rows.ts';
import type { Batch } from './types.ts';

/**
 * How many rows each batch has: B, and the rest in a last, shorter one. With pairs a rest of a single row joins
 * the batch before it: a row alone has no negatives.
 */
function* batchSizes(numRows: number, { batchSize, taco }: SamplingSettings): Generator<number> {
  for (let left = numRows; left > 0; ) {
    const joined = taco !== undefined && left === batchSize + 1;
    const size = joined ? left : Math.min(batchSize, left);
    yield size;
    left -= size;
  }
}

/**
 * The validation split, or an even sample of it, once, in order. The same options give the same rows, masks and
 * pairs every time, so that evaluations compare; masks do not depend on the batch size. Nothing is yielded when
 * there is no validation split; a split of one row gives a batch without anchors. Cursors count rows and serve no
 * resuming.
 *
 * @throws TacoError `bad-config` at once; as `openDataset` while iterating
 */
export function evaluationBatches(options: EvaluationOptions): AsyncGenerator<Batch, void> {
  const settings = resolveSampling(options);
  const { maxRows } = options;
  if (maxRows !== undefined && (!Number.isSafeInteger(maxRows) || maxRows < 1)) {
    throw new TacoError(
      `the number of evaluation rows is ${maxRows}, expected a whole number of at least 1`,
      {
        code: 'bad-config',
        stage: 'batches',
      },
    );
  }
  return evaluate(options, settings, maxRows ?? Number.POSITIVE_INFINITY);
}

async function* evaluate(
  { folder }: SamplingOptions,
  settings: SamplingSettings,
  maxRows: number,
): AsyncGenerator<Batch, void> {
  const dataset = await openDataset(folder);
  const numRows = dataset.numRows('validation');
  const count = Math.min(numRows, maxRows);
  const { maxSeqLen, fingerprint } = dataset;
  const collate = createCollator(dataset, settings, 'validation');
  const readRow = rowReader(dataset);
  let delivered = 0;
  for (const size of batchSizes(count, settings)) {
    const ids = new Int32Array(size * maxSeqLen);
    const rowNumbers: number[] = [];
    for (let i = 0; i < size; i += 1) {
      const row = Math.floor(((delivered + i) * numRows) / count);
      rowNumbers.push(row);
      await readRow(row, ids, i * maxSeqLen);
    }
    delivered += size;
    yield collate({ ids, rowNumbers, cursor: cursorAt(delivered, fingerprint, settings.seed) });
  }
}

/** Copies single validation rows; holds the row group of the last one. */
function rowReader(
  dataset: Dataset,
): (row: number, ids: Int32Array<ArrayBuffer>, at: number) => Promise<void> {
  let heldGroup = -1;
  let held: TokenRows | undefined;
  return async (row, ids, at) => {
    const place = dataset.placeOf('validation', row);
    if (held === undefined || place.group !== heldGroup) {
      held = await dataset.readGroup('validation', place.group);
      heldGroup = place.group;
    }
    copyRow(held.ids, place.row * dataset.maxSeqLen, ids, at, dataset.maxSeqLen);
  };
}
