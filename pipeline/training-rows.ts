import pLimit from 'p-limit';
import { createRowOrder, type OrderWindow, type RowOrder } from './sampling/order.ts';
import type { Dataset } from './shards/dataset.ts';
import type { TokenRows } from './shards/reader.ts';

/**
 * Row groups that are shuffled into one another. 128 groups of 256 rows of 256 tokens are 8.4 M tokens from 128
 * places of the dataset, 17 MB in memory.
 */
export const SHUFFLE_WINDOW_GROUPS = 128;

const MAX_CONCURRENT_READS = 4;

/** Rows of the training split by position in the endless order. Holds the row groups of two windows at most. */
export class TrainingRows {
  readonly #dataset: Dataset;
  readonly #order: RowOrder;
  readonly #limit = pLimit(MAX_CONCURRENT_READS);
  readonly #held = new Map<number, TokenRows>();
  #window: OrderWindow | undefined;
  /** Groups of the window after, still to be read. */
  #ahead: number[] = [];

  /** @param windowGroups decides the order: training always has `SHUFFLE_WINDOW_GROUPS` */
  constructor(dataset: Dataset, seed: number, windowGroups = SHUFFLE_WINDOW_GROUPS) {
    this.#dataset = dataset;
    const { rowsPerGroup } = dataset;
    this.#order = createRowOrder({ numRows: dataset.numRows('train'), rowsPerGroup, windowGroups, seed });
  }

  /** Row groups in memory, at most two windows of them. */
  get numHeldGroups(): number {
    return this.#held.size;
  }

  /**
   * Copies the rows at consecutive positions. A share of the next window is read along, so that crossing its
   * border costs no more than any other place.
   * @param ids [num rows * maxSeqLen] where the rows go
   * @param slots row of `ids` for each position, from `position` on
   */
  async read(position: number, ids: Int32Array, slots: readonly number[]): Promise<void> {
    const { maxSeqLen } = this.#dataset;
    for (const [i, slot] of slots.entries()) {
      const window = this.#window;
      if (
        window === undefined ||
        position + i < window.start ||
        position + i >= window.start + window.numRows
      ) {
        await this.#enter(position + i);
      }
      const { group, row } = this.#order.placeAt(position + i);
      copyRow(this.#held.get(group)!.ids, row * maxSeqLen, ids, slot * maxSeqLen, maxSeqLen);
    }
    await this.#readAhead(position + slots.length, slots.length);
  }

  async #enter(position: number): Promise<void> {
    const window = this.#order.windowAt(position);
    const next = this.#order.windowAt(window.start + window.numRows);
    const wanted = new Set([...window.groups, ...next.groups]);
    for (const group of this.#held.keys()) if (!wanted.has(group)) this.#held.delete(group);
    await this.#load(window.groups);
    this.#window = window;
    this.#ahead = next.groups.filter((group) => !this.#held.has(group));
  }

  async #readAhead(position: number, count: number): Promise<void> {
    if (this.#window === undefined || this.#ahead.length === 0) return;
    const batchesLeft = Math.max(1, (this.#window.start + this.#window.numRows - position) / count);
    await this.#load(this.#ahead.splice(0, Math.ceil(this.#ahead.length / batchesLeft)));
  }

  async #load(groups: readonly number[]): Promise<void> {
    const missing = groups.filter((group) => !this.#held.has(group));
    await Promise.all(
      missing.map((group) =>
        this.#limit(async () => {
          this.#held.set(group, await this.#dataset.readGroup('train', group));
        }),
      ),
    );
  }
}

/** Copies `length` ids, widening them. */
export function copyRow(
  from: Uint16Array | Int32Array,
  fromStart: number,
  to: Int32Array,
  toStart: number,
  length: number,
): void {
  for (let i = 0; i < length; i += 1) to[toStart + i] = from[fromStart + i]!;
}
