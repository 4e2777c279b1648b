/** The public surface of the pipeline: the only file of it that `src/` imports. */
export { messageOf, systemCodeOf, TacoError } from './errors.ts';
export type { Batch, BatchCursor, ContrastivePairs, SpecialTokenIds } from './types.ts';
export { keyOf, Random } from './random.ts';
