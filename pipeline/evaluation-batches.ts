import { type EvaluationOptions, resolveSampling, type SamplingSettings } from './batch-options.ts';
import { createCollator } from './collate.ts';
import { goOnAt } from './cursor.ts';
import { TacoError } from './errors.ts';
import { byFingerprint, type Mixture } from './mixture.ts';
import type { Dataset } from './shards/dataset.ts';
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
 * The validation rows of all datasets, one dataset after another by ascending fingerprint, or an even sample of
 * them, once. The same datasets and options give the same rows, masks and pairs every time, whatever the weights
 * and the order of the flags, so that evaluations compare; masks do not depend on the batch size. Nothing is
 * yielded when there are no validation rows; a single row gives a batch without anchors. Cursors count rows and
 * serve no resuming.
 *
 * @throws TacoError `bad-config` at once; as `readGroup` of a dataset while iterating
 */
export function evaluationBatches(options: EvaluationOptions): AsyncGenerator<Batch, void> {
  const settings = resolveSampling(options);
  const { mixture, maxRows } = options;
  if (maxRows !== undefined && (!Number.isSafeInteger(maxRows) || maxRows < 1)) {
    throw new TacoError(
      `the number of evaluation rows is ${maxRows}, expected a whole number of at least 1`,
      {
        code: 'bad-config',
        stage: 'batches',
      },
    );
  }
  return evaluate(mixture, settings, maxRows ?? Number.POSITIVE_INFINITY);
}

async function* evaluate(
  mixture: Mixture,
  settings: SamplingSettings,
  maxRows: number,
): AsyncGenerator<Batch, void> {
  const parts = byFingerprint(mixture.parts).map((part) => ({ ...part, weight: 1 }));
  const { maxSeqLen } = mixture;
  const numRows = mixture.numRows('validation');
  const count = Math.min(numRows, maxRows);
  const collate = createCollator(mixture, settings, 'validation');
  const readRow = rowReader(parts.map(({ dataset }) => dataset));
  const start = goOnAt(undefined, { seed: settings.seed, parts });
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
    yield collate({ ids, rowNumbers, cursor: { ...start, position: delivered } });
  }
}

/** Copies single rows of the datasets' validation splits, one after another; holds the row group of the last one. */
function rowReader(
  datasets: readonly Dataset[],
): (row: number, ids: Int32Array<ArrayBuffer>, at: number) => Promise<void> {
  let heldFrom: Dataset | undefined;
  let heldGroup = -1;
  let held: TokenRows | undefined;
  return async (row, ids, at) => {
    let rest = row;
    const dataset = datasets.find((candidate) => {
      if (rest < candidate.numRows('validation')) return true;
      rest -= candidate.numRows('validation');
      return false;
    })!;
    const place = dataset.placeOf('validation', rest);
    if (held === undefined || dataset !== heldFrom || place.group !== heldGroup) {
      held = await dataset.readGroup('validation', place.group);
      heldFrom = dataset;
      heldGroup = place.group;
    }
    copyRow(held.ids, place.row * dataset.maxSeqLen, ids, at, dataset.maxSeqLen);
  };
}
