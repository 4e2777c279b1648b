/** An axis: its range in data units, and where its marks are. */
export interface Axis {
  readonly from: number;
  readonly to: number;
  readonly ticks: readonly number[];
}

const NICE_FACTORS = [1, 2, 2.5, 5, 10] as const;

/**
 * An axis around a range whose marks are round numbers (1, 2, 2.5 or 5 times a power of ten).
 * @param count how many intervals to aim at
 * @param wholeNumbers no marks between whole numbers, for steps
 */
export function niceAxis(low: number, high: number, count: number, wholeNumbers = false): Axis {
  const span = high > low ? high - low : Math.max(1, Math.abs(high));
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const nice = NICE_FACTORS.find((factor) => factor * power >= rough * (1 - 1e-9))! * power;
  const interval = wholeNumbers ? Math.max(1, Math.ceil(nice)) : nice;
  const first = Math.floor(low / interval + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / interval - 1e-9));
  const ticks = Array.from({ length: last - first + 1 }, (_, index) =>
    Number(((first + index) * interval).toPrecision(12)),
  );
  return { from: ticks[0]!, to: ticks.at(-1)!, ticks };
}

/** `1500` → `1.5k`, `250000` → `250k`, `0.5` → `0.5`. */
export function tickLabel(value: number): string {
  if (Math.abs(value) >= 1e6) return `${Number((value / 1e6).toPrecision(6))}M`;
  if (Math.abs(value) >= 1e3) return `${Number((value / 1e3).toPrecision(6))}k`;
  return String(value);
}
