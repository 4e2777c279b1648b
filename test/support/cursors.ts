import type { BatchCursor } from '../../pipeline/types.ts';

/** The cursor of a run on a single dataset after `position` rows. */
export function cursorOf(position: number, fingerprint = 'a'.repeat(64), seed = 42): BatchCursor {
  return { version: 2, seed, position, datasets: [{ fingerprint, weight: 1, position, lag: 0 }] };
}
