/**
 * Sizes that vary from call to call. tfjs works with whole numbers, so such a size is traced as a prime larger than any
 * real one: shapes that come of it are multiples of it, are told apart by it, and are unknown (−1) in the graph.
 */
const primes = [1_000_003, 1_000_033, 1_000_037, 1_000_039] as const;

/** How many different varying sizes a signature may name. */
export const MAX_VARYING = primes.length;

/** The number that stands for the n-th varying size while a step is traced. */
export function varyingSize(index: number): number {
  const prime = primes[index];
  if (prime === undefined) {
    throw new RangeError(`got varying size number ${index + 1}, expected at most ${MAX_VARYING}`);
  }
  return prime;
}

/** Whether a size depends on one that varies. */
export function isVarying(size: number): boolean {
  return size !== 0 && primes.some((prime) => size % prime === 0);
}

/** A shape as the graph has it: −1 for what is not known. */
export function wireShape(shape: readonly number[]): readonly number[] {
  return shape.map((size) => (isVarying(size) ? -1 : size));
}
