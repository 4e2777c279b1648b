import fc from 'fast-check';
import { expect, test } from 'vitest';
import { backoffMs, requestedWaitMs } from '../../../pipeline/sources/rate-limit.ts';

const NOW = Date.parse('Mon, 01 Jan 2024 00:00:00 GMT');

test.each([
  [{ RateLimit: '"resolvers";r=0;t=42' }, 43_000],
  [{ RateLimit: '"api"; r=0; t=0' }, 1000],
  [{ 'Retry-After': '7' }, 7000],
  [{ 'Retry-After': 'Mon, 01 Jan 2024 00:00:30 GMT' }, 30_000],
  [{ 'Retry-After': 'Sun, 31 Dec 2023 00:00:00 GMT' }, 0],
  [{ RateLimit: '"api";r=0;t=5', 'Retry-After': '60' }, 60_000],
  [{ 'Retry-After': 'soon' }, undefined],
  [{ RateLimit: 'nonsense' }, undefined],
  [{}, undefined],
])('requestedWaitMs %j is %s', (headers, expected) => {
  expect(requestedWaitMs(new Headers(headers as Record<string, string>), NOW)).toBe(expected);
});

test('backoff doubles up to its limit, with jitter in its upper half', () => {
  const options = { baseMs: 500, maxMs: 60_000 };
  expect([1, 2, 3, 8, 20].map((attempt) => backoffMs(attempt, () => 1, options))).toEqual([
    500, 1000, 2000, 60_000, 60_000,
  ]);
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (attempt, jitter) => {
        const full = backoffMs(attempt, () => 1, options);
        const wait = backoffMs(attempt, () => jitter, options);
        expect(wait).toBeGreaterThanOrEqual(full / 2);
        expect(wait).toBeLessThanOrEqual(full);
      },
    ),
  );
  expect(backoffMs(3, () => 0.1, options)).not.toBe(backoffMs(3, () => 0.9, options));
});
