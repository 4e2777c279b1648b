/**
 * Whose turn it is in a mixture: which of several datasets gives the next row, so that each has its share of any
 * stretch of rows. The state is one whole number a dataset, its lag: `weight · n − total · own` after `n` rows of
 * which `own` were its own, `total` being the sum of the weights. Nothing is drawn and nothing is rounded.
 *
 * The next row comes from the dataset that is due first among those that are not ahead of their share (the quota
 * method: Balinski, Young 1975). Every dataset thus stays within one row of its exact share at all times, for any
 * number of datasets, and after `total` rows each has given exactly its weight.
 */
export class Turns {
  readonly #weights: readonly number[];
  readonly #total: number;
  readonly #lags: number[];

  /**
   * @param weights whole numbers above 0
   * @param lags as `lags` gave them; all 0 begins to count
   */
  constructor(weights: readonly number[], lags: readonly number[]) {
    this.#weights = weights;
    this.#total = weights.reduce((sum, weight) => sum + weight, 0);
    this.#lags = [...lags];
  }

  /** [num datasets] state after the turns taken so far; their sum is 0 and none reaches `total`. */
  get lags(): readonly number[] {
    return [...this.#lags];
  }

  /** Index of the dataset that gives the next row; of several that are due at once, the first. */
  next(): number {
    const lags = this.#lags;
    let first = -1;
    let firstDue = Number.POSITIVE_INFINITY;
    for (const [index, weight] of this.#weights.entries()) {
      const lag = lags[index]!;
      lags[index] = lag + weight;
      // Rows from now until its share is one row more than it has given.
      const due = (this.#total - lag) / weight;
      if (lag + weight > 0 && due < firstDue) {
        first = index;
        firstDue = due;
      }
    }
    lags[first]! -= this.#total;
    return first;
  }
}
