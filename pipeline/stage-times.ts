/** The stages that `--profile` tells apart, in the order of the data. */
export const STAGES = ['fetch', 'decompress', 'decode', 'tokenize', 'pack', 'encode', 'write'] as const;

export type Stage = (typeof STAGES)[number];

/**
 * Milliseconds spent in each stage, over all threads. `fetch` and `write` are what the main thread waited for them;
 * the others are work.
 */
export type StageTimes = Record<Stage, number>;

export function noStageTimes(): StageTimes {
  return { fetch: 0, decompress: 0, decode: 0, tokenize: 0, pack: 0, encode: 0, write: 0 };
}

/** Adds the times of a part to the sum. */
export function addStageTimes(sum: StageTimes, part: Readonly<Partial<StageTimes>>): void {
  for (const stage of STAGES) sum[stage] += part[stage] ?? 0;
}
