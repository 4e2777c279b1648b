/** How long an answer asks to wait. Pure. */

/**
 * Milliseconds from `RateLimit: "resolvers";r=0;t=42` (window resets in t seconds; one more for safety) or from
 * `Retry-After` (seconds or a date), the longer of both; undefined where neither says anything.
 * @param nowMs the clock, for dates
 */
export function requestedWaitMs(headers: Headers, nowMs: number): number | undefined {
  const waits = [rateLimitMs(headers.get('RateLimit')), retryAfterMs(headers.get('Retry-After'), nowMs)];
  const known = waits.filter((wait) => wait !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}

function rateLimitMs(value: string | null): number | undefined {
  const seconds = /;\s*t=(\d+)/.exec(value ?? '')?.[1];
  return seconds === undefined ? undefined : (Number(seconds) + 1) * 1000;
}

function retryAfterMs(value: string | null, nowMs: number): number | undefined {
  if (value === null || value.trim() === '') return undefined;
  if (/^\d+(\.\d+)?$/.test(value.trim())) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}

export interface BackoffOptions {
  readonly baseMs: number;
  readonly maxMs: number;
}

/**
 * Exponential backoff with jitter: uniform between half and all of base · 2^(attempt − 1), at most `maxMs`.
 * @param attempt 1 for the first that failed
 * @param random uniform in [0, 1)
 */
export function backoffMs(attempt: number, random: () => number, { baseMs, maxMs }: BackoffOptions): number {
  const full = Math.min(maxMs, baseMs * 2 ** (attempt - 1));
  return Math.round(full * (0.5 + random() / 2));
}
