import { keyOf, mix32 } from '../random.ts';

const NUM_ROUNDS = 8;
const MAX_SIZE = 2 ** 48;

/** A bijection of [0, size) onto itself that needs no table. */
export interface Permutation {
  readonly size: number;
  /** @param index whole number in [0, size) */
  apply(index: number): number;
  /** `invert(apply(i)) === i`. */
  invert(image: number): number;
}

/**
 * A pseudo-random permutation chosen by a key: Feistel network over a × b ≥ size with modular addition (Black,
 * Rogaway 2002, "Ciphers with Arbitrary Finite Domains", generalised Feistel and cycle walking). Constant time
 * and memory for any size; a·b exceeds `size` by less than a row of b, so walking is rare.
 *
 * @param size from 1 to 2^48
 * @param key whole numbers that name the permutation
 * @throws RangeError for a size outside of that
 */
export function createPermutation(size: number, ...key: readonly number[]): Permutation {
  if (!Number.isInteger(size) || size < 1 || size > MAX_SIZE) {
    throw new RangeError(`a permutation of ${size} elements, expected a whole number from 1 to 2^48`);
  }
  const a = Math.ceil(Math.sqrt(size));
  const b = Math.ceil(size / a);
  const roundKeys = Uint32Array.from({ length: NUM_ROUNDS }, (_, round) => keyOf(...key, size, round));

  const encrypt = (index: number): number => {
    let left = Math.floor(index / b);
    let right = index % b;
    for (let round = 0; round < NUM_ROUNDS; round += 2) {
      left = (left + mix32(roundKeys[round]! ^ right)) % a;
      right = (right + mix32(roundKeys[round + 1]! ^ left)) % b;
    }
    return left * b + right;
  };
  const decrypt = (image: number): number => {
    let left = Math.floor(image / b);
    let right = image % b;
    for (let round = NUM_ROUNDS - 2; round >= 0; round -= 2) {
      right = (right + b - (mix32(roundKeys[round + 1]! ^ left) % b)) % b;
      left = (left + a - (mix32(roundKeys[round]! ^ right) % a)) % a;
    }
    return left * b + right;
  };

  return {
    size,
    apply(index) {
      let image = encrypt(index);
      while (image >= size) image = encrypt(image);
      return image;
    },
    invert(image) {
      let index = decrypt(image);
      while (index >= size) index = decrypt(index);
      return index;
    },
  };
}
