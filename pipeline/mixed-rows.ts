import { type MixedDataset, orderSeedOf } from './mixture.ts';
import { Turns } from './sampling/turns.ts';
import { TrainingRows } from './training-rows.ts';
import type { BatchCursor } from './types.ts';

/**
 * The endless sequence of rows of a mixture: the datasets take turns by weight, each goes through its own order
 * of rows, epoch after epoch. Holds two windows of row groups a dataset at most.
 */
export class MixedRows {
  readonly #rows: readonly TrainingRows[];
  readonly #turns: Turns;
  readonly #maxSeqLen: number;
  #cursor: BatchCursor;

  /** @param parts in the order of the cursor's datasets @param cursor where to begin */
  constructor(parts: readonly MixedDataset[], cursor: BatchCursor) {
    this.#cursor = cursor;
    this.#maxSeqLen = parts[0]!.dataset.maxSeqLen;
    this.#rows = parts.map(
      (part) => new TrainingRows(part.dataset, orderSeedOf(part, cursor.seed, parts.length)),
    );
    const { datasets } = cursor;
    this.#turns = new Turns(
      datasets.map(({ weight }) => weight),
      datasets.map(({ lag }) => lag),
    );
  }

  /** State after the rows read so far. */
  get cursor(): BatchCursor {
    return this.#cursor;
  }

  /** Row groups in memory. */
  get numHeldGroups(): number {
    return this.#rows.reduce((sum, rows) => sum + rows.numHeldGroups, 0);
  }

  /**
   * The next `count` rows.
   * @returns [count * maxSeqLen] ids
   */
  async read(count: number): Promise<Int32Array<ArrayBuffer>> {
    const slots = this.#rows.map((): number[] => []);
    for (let slot = 0; slot < count; slot += 1) slots[this.#turns.next()]!.push(slot);
    const ids = new Int32Array(count * this.#maxSeqLen);
    const positions = this.#cursor.datasets.map(({ position }) => position);
    for (const [index, own] of slots.entries()) {
      if (own.length === 0) continue;
      await this.#rows[index]!.read(positions[index]!, ids, own);
      positions[index]! += own.length;
    }
    const { lags } = this.#turns;
    const datasets = this.#cursor.datasets.map((dataset, index) => ({
      ...dataset,
      position: positions[index]!,
      lag: lags[index]!,
    }));
    this.#cursor = { ...this.#cursor, position: this.#cursor.position + count, datasets };
    return ids;
  }
}
