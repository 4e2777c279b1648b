/** Tests of paired differences: whether their mean could be chance. Two-sided. */

/** 2^20 sign patterns take some 10 ms. */
const MAX_EXACT = 20;

/**
 * Exact sign-flip (paired permutation) test of Fisher: under the hypothesis of no difference each pair's sign is a
 * coin toss, so p is the share of all 2^n sign patterns whose sum is at least as far from 0. With n pairs it cannot
 * be less than 2 / 2^n: five seeds reach 0.0625 at best, six 0.03125.
 * @param differences [n] from 1 to 20
 * @throws RangeError for more or none
 */
export function signFlipTest(differences: readonly number[]): number {
  const n = differences.length;
  if (n < 1 || n > MAX_EXACT) throw new RangeError(`${n} pairs, expected 1 to ${MAX_EXACT}`);
  const total = differences.reduce((sum, value) => sum + value, 0);
  const magnitude = differences.reduce((sum, value) => sum + Math.abs(value), 0);
  // Equal sums that were added in another order differ by rounding.
  const limit = Math.abs(total) - 1e-12 * magnitude;
  // The other half of the patterns are these with all signs turned.
  const numPatterns = 2 ** (n - 1);
  let numFar = 0;
  for (let pattern = 0; pattern < numPatterns; pattern += 1) {
    let sum = differences[n - 1]!;
    for (let at = 0; at < n - 1; at += 1) {
      sum += (pattern >>> at) & 1 ? -differences[at]! : differences[at]!;
    }
    if (Math.abs(sum) >= limit) numFar += 1;
  }
  return numFar / numPatterns;
}

/**
 * Student's paired t-test.
 * @returns p, undefined with fewer than two pairs or when all differences are the same
 */
export function pairedTTest(differences: readonly number[]): number | undefined {
  const n = differences.length;
  if (n < 2 || differences.every((value) => value === differences[0])) return undefined;
  const mean = differences.reduce((sum, value) => sum + value, 0) / n;
  const variance = differences.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
  const t = mean / Math.sqrt(variance / n);
  const freedom = n - 1;
  return regularizedBeta(freedom / (freedom + t * t), freedom / 2, 0.5);
}

/** I_x(a, b) by its continued fraction (Abramowitz, Stegun 26.5.8), evaluated by Lentz's method. */
function regularizedBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The fraction converges fast on this side; I_x(a, b) = 1 − I_{1−x}(b, a) leads to it.
  if (x > (a + 1) / (a + b + 2)) return 1 - regularizedBeta(1 - x, b, a);
  const tiny = 1e-300;
  const notZero = (value: number): number => (Math.abs(value) < tiny ? tiny : value);
  let c = 1;
  let d = 1 / notZero(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m <= 500; m += 1) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / notZero(1 + even * d);
    c = notZero(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / notZero(1 + odd * d);
    c = notZero(1 + odd / c);
    fraction *= d * c;
    if (Math.abs(d * c - 1) < 1e-15) break;
  }
  const front = a * Math.log(x) + b * Math.log1p(-x) - logBeta(a, b);
  return (Math.exp(front) * fraction) / a;
}

/** ln B(a, b) for halves of whole numbers: Γ(z + 1) = z Γ(z) from Γ(1) = 1 and Γ(½) = √π. */
function logBeta(a: number, b: number): number {
  const logGamma = (z: number): number => {
    let sum = Number.isInteger(z) ? 0 : Math.log(Math.PI) / 2;
    for (let at = Number.isInteger(z) ? 1 : 0.5; at < z; at += 1) sum += Math.log(at);
    return sum;
  };
  return logGamma(a) + logGamma(b) - logGamma(a + b);
}
