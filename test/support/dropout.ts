import { philox, statelessStart } from '../../src/engine/philox.ts';

/**
 * Uniform numbers in [0, 1) as StatelessRandomUniform returns them for float32: 23 bits each, four of one counter.
 */
export function statelessUniform(seed0: number, seed1: number, length: number): Float32Array<ArrayBuffer> {
  const { key, counter } = statelessStart(seed0, seed1);
  const values = new Float32Array(length);
  for (let i = 0; i < length; i += 4) {
    const words = philox([i / 4, counter[1], counter[2], counter[3]], key);
    for (let j = 0; j < 4 && i + j < length; j += 1) values[i + j] = (words[j]! & 0x7fffff) / 2 ** 23;
  }
  return values;
}

/** Dropout as its documentation says, from the generator in plain JavaScript. */
export function expectedDropout(
  values: Float32Array,
  {
    seed,
    site,
    rate,
  }: { readonly seed: readonly [number, number]; readonly site: number; readonly rate: number },
): Float32Array {
  const uniform = statelessUniform(seed[0] + site, seed[1], values.length);
  const scale = Math.fround(1 / (1 - rate));
  return values.map((value, i) => (uniform[i]! >= Math.fround(rate) ? value * scale : 0));
}
