/** Bounds for tests of randomness. Seeds are fixed, so a test that passes once passes always. */

/**
 * How far observed counts are from expected ones, as a standard normal deviate: Pearson's chi-square through the
 * cube-root approximation (Wilson, Hilferty 1931). Beyond 4 happens by chance once in 30,000 seeds.
 */
export function chiSquareDeviate(observed: ArrayLike<number>, expected: ArrayLike<number>): number {
  let statistic = 0;
  let cells = 0;
  for (let i = 0; i < observed.length; i += 1) {
    if (expected[i] === 0) {
      if (observed[i] !== 0) return Number.POSITIVE_INFINITY;
      continue;
    }
    statistic += (observed[i]! - expected[i]!) ** 2 / expected[i]!;
    cells += 1;
  }
  const freedom = cells - 1;
  const variance = 2 / (9 * freedom);
  return (Math.cbrt(statistic / freedom) - (1 - variance)) / Math.sqrt(variance);
}

/** `chiSquareDeviate` against equal expectations. */
export function uniformDeviate(observed: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < observed.length; i += 1) total += observed[i]!;
  return chiSquareDeviate(observed, new Array<number>(observed.length).fill(total / observed.length));
}

/** Standard deviations between `successes` of `trials` and the expected share. */
export function binomialDeviate(successes: number, trials: number, share: number): number {
  return (successes - trials * share) / Math.sqrt(trials * share * (1 - share));
}

/** Correlation of a permutation of 0 … n − 1 with the identity (Spearman's rank correlation), from −1 to 1. */
export function rankCorrelation(permutation: ArrayLike<number>): number {
  const n = permutation.length;
  let squares = 0;
  for (let i = 0; i < n; i += 1) squares += (permutation[i]! - i) ** 2;
  return 1 - (6 * squares) / (n * (n * n - 1));
}
