import { pairKeysOf } from './random.ts';

export interface ValidationSettings {
  /** Share of the documents that go to validation, 0 to 1. */
  readonly validation: number;
  readonly seed: number;
}

/**
 * Whether a document belongs to the validation split: decided by its bytes and the seed alone, so that neither
 * order nor workers matter and equal documents stay on one side.
 * @returns asks of the lowest 32 bits of the hash of the document's bytes and of the next 32 bits
 */
export function validationRule({
  validation,
  seed,
}: ValidationSettings): (low: number, high: number) => boolean {
  const keys = pairKeysOf(seed);
  const limit = validation * 0x1_0000_0000;
  return (low, high) => keys(low, high) < limit;
}
