/**
 * Randomness as functions of (seed, place), not as a state to carry: any position can be computed at once, so
 * resuming costs the same everywhere and the number of workers cannot matter.
 */

/** Finaliser of MurmurHash3 (Austin Appleby, public domain): every input bit reaches every output bit. */
export function mix32(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * A 32-bit key for a place, from any whole numbers below 2^53 that name it (seed, epoch, row, purpose).
 * Different lists of numbers give unrelated keys.
 */
export function keyOf(...parts: readonly number[]): number {
  let h = 0x9e3779b9 ^ parts.length;
  for (const part of parts) h = absorb(h, part);
  return h >>> 0;
}

function absorb(h: number, part: number): number {
  // `|` takes the lowest 32 bits, many times faster than the remainder of a division.
  return mix32(mix32(h ^ mix32(part | 0)) + 0x9e3779b9 + Math.floor(part / 0x1_0000_0000));
}

/** The same of a number below 2^32. */
function absorbWord(h: number, word: number): number {
  return mix32(mix32(h ^ mix32(word)) + 0x9e3779b9);
}

/**
 * `keyOf(first, low, high)` as a function of two 32-bit words, for millions of them: no list of numbers is made, and no
 * number is taken apart.
 */
export function pairKeysOf(first: number): (low: number, high: number) => number {
  const begun = absorb(0x9e3779b9 ^ 3, first);
  return (low, high) => absorbWord(absorbWord(begun, low), high);
}

/**
 * Pseudo-random 32-bit words of one key: xoshiro128** (Blackman, Vigna 2018), state filled from the key.
 * Made where it is needed and thrown away; never stored.
 */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(...parts: readonly number[]) {
    const key = keyOf(...parts);
    this.#a = mix32(key + 0x9e3779b9);
    this.#b = mix32(key + 0x3c6ef372);
    this.#c = mix32(key + 0xdaa66d2b);
    this.#d = mix32(key + 0x78dde6e4) | 1; // the state must not be all zero
  }

  /** Uniform in [0, 2^32). */
  uint32(): number {
    const product = Math.imul(this.#b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const t = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** Uniform in [0, 1), 32 bits. */
  float(): number {
    return this.uint32() / 0x1_0000_0000;
  }

  /**
   * Uniform whole number in [0, bound), without modulo bias: the high half of a 32-bit word times the bound
   * (Lemire 2019, "Fast Random Integer Generation in an Interval"), which needs no division but for one word in
   * 2^32 / bound. Bounds above 2^21, whose products are not exact in a double, take remainders.
   * @param bound from 1 to 2^32
   */
  below(bound: number): number {
    if (bound > 0x20_0000) return this.#belowLarge(bound);
    for (;;) {
      const product = this.uint32() * bound;
      const high = (product / 0x1_0000_0000) | 0;
      const low = product - high * 0x1_0000_0000;
      if (low >= bound || low >= 0x1_0000_0000 % bound) return high;
    }
  }

  #belowLarge(bound: number): number {
    const limit = 0x1_0000_0000 - (0x1_0000_0000 % bound);
    for (;;) {
      const word = this.uint32();
      if (word < limit) return word % bound;
    }
  }

  /** Standard normal by Box and Muller's polar method (Marsaglia 1964). */
  normal(): number {
    for (;;) {
      const u = this.float() * 2 - 1;
      const v = this.float() * 2 - 1;
      const s = u * u + v * v;
      if (s > 0 && s < 1) return u * Math.sqrt((-2 * Math.log(s)) / s);
    }
  }
}
