/** Shape of the learning rate over a run. */
export interface ScheduleOptions {
  /** Highest learning rate, reached at the end of the warm-up. */
  readonly peak: number;
  /** Updates over which the rate climbs linearly from 0. */
  readonly warmupSteps: number;
  /** Update at which the rate has fallen linearly to 0. */
  readonly maxSteps: number;
}

/**
 * Learning rate of one update: linear warm-up, then linear decay to 0, the same numbers as transformers'
 * `get_linear_schedule_with_warmup`.
 * @param step updates made before this one: 0 for the first, whose rate is 0 if there is a warm-up
 */
export function learningRateAt(step: number, { peak, warmupSteps, maxSteps }: ScheduleOptions): number {
  if (step < warmupSteps) return peak * (step / Math.max(1, warmupSteps));
  return peak * Math.max(0, (maxSteps - step) / Math.max(1, maxSteps - warmupSteps));
}
