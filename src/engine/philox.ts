/**
 * Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), the counter-based generator
 * behind TensorFlow's stateless random operations.
 */

const MULTIPLIER_A = 0xd2511f53;
const MULTIPLIER_B = 0xcd9e8d57;
const WEYL_A = 0x9e3779b9;
const WEYL_B = 0xbb67ae85;
const NUM_ROUNDS = 10;

/** What TensorFlow scrambles seeds with, so that weak seeds will do. */
const SCRAMBLE_KEY = [0x3ec8f720, 0x02461e29] as const;

type Words4 = readonly [number, number, number, number];
type Words2 = readonly [number, number];

/** Key and counter with which a stream of numbers begins; all words unsigned 32 bits. */
export interface PhiloxStart {
  readonly key: Words2;
  readonly counter: Words4;
}

/** Four pseudo-random 32-bit words of one counter. */
export function philox(counter: Words4, key: Words2): Words4 {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < NUM_ROUNDS; round += 1) {
    const lowA = Math.imul(c0, MULTIPLIER_A) >>> 0;
    const lowB = Math.imul(c2, MULTIPLIER_B) >>> 0;
    const highA = highProduct(c0, MULTIPLIER_A);
    const highB = highProduct(c2, MULTIPLIER_B);
    c0 = (highB ^ c1 ^ k0) >>> 0;
    c1 = lowB;
    c2 = (highA ^ c3 ^ k1) >>> 0;
    c3 = lowA;
    k0 = (k0 + WEYL_A) >>> 0;
    k1 = (k1 + WEYL_B) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/**
 * Where TensorFlow's StatelessRandomUniform begins for an int32 seed [2].
 * @param seed0 from 0 to 2^31 − 1
 * @param seed1 from 0 to 2^31 − 1
 */
export function statelessStart(seed0: number, seed1: number): PhiloxStart {
  const [k0, k1, c2, c3] = philox([seed0, 0, seed1, 0], SCRAMBLE_KEY);
  return { key: [k0, k1], counter: [0, 0, c2, c3] };
}

/** Upper 32 bits of the 64-bit product of two unsigned 32-bit numbers. */
function highProduct(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const low = aLow * bLow;
  const middle = aHigh * bLow + (low >>> 16);
  const carry = aLow * bHigh + (middle % 0x1_0000);
  return (aHigh * bHigh + Math.floor(middle / 0x1_0000) + Math.floor(carry / 0x1_0000)) >>> 0;
}
