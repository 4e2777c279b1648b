/** State of a dynamic loss scale. */
export interface LossScaleState {
  /** Factor of the loss, a power of 2. */
  readonly scale: number;
  /** Updates made since the scale last changed. */
  readonly numGood: number;
}

/** Where scaling begins: PyTorch's `GradScaler` has the same numbers. */
const INITIAL_SCALE = 2 ** 16;
const MAX_SCALE = 2 ** 24;
/** Good updates after which a higher scale is tried. */
const GROWTH_INTERVAL = 2000;

/** No scaling, for types with the exponents of float32. */
export const unscaled: LossScaleState = Object.freeze({ scale: 1, numGood: 0 });

/** Before the first step in float16. */
export const initialLossScale: LossScaleState = Object.freeze({ scale: INITIAL_SCALE, numGood: 0 });

/**
 * Dynamic loss scaling (Micikevicius et al.: Mixed Precision Training, ICLR 2018, section 3.2): gradients that vanish in
 * float16 are lifted by a factor of the loss, which is halved when an update overflowed and doubled when many did not.
 * @param overflowed whether the update was skipped because the loss or the gradient was not finite
 */
export function nextLossScale({ scale, numGood }: LossScaleState, overflowed: boolean): LossScaleState {
  if (overflowed) return { scale: Math.max(1, scale / 2), numGood: 0 };
  if (numGood + 1 < GROWTH_INTERVAL) return { scale, numGood: numGood + 1 };
  return { scale: Math.min(MAX_SCALE, scale * 2), numGood: 0 };
}
