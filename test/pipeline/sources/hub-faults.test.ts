import { describe, expect, test } from 'vitest';
import { createHubFetch } from '../../../pipeline/sources/hub-fetch.ts';
import { resolveSource } from '../../../pipeline/sources/resolve.ts';
import type { WaitNotice } from '../../../pipeline/sources/source.ts';
import type { Fault } from '../../support/hub/faults.ts';
import type { LoggedRequest } from '../../support/hub/log.ts';
import { ARTICLE_FILES, ARTICLE_TEXTS, hubBench, hubForTest } from '../../support/hub-datasets.ts';
import { chunksOf, rejectionOf, textsOf, VirtualClock } from '../../support/sources.ts';

const STORAGE = /^GET \/xet-bridge\//;
const NOW_MS = new VirtualClock().nowMs;

const PASSING: readonly (readonly [name: string, fault: Fault, firstWaitMs: number])[] = [
  ['500', { kind: 'status', status: 500 }, 500],
  ['502', { kind: 'status', status: 502 }, 500],
  ['503', { kind: 'status', status: 503 }, 500],
  ['504', { kind: 'status', status: 504 }, 500],
  ['503 with Retry-After', { kind: 'status', status: 503, headers: { 'Retry-After': '9' } }, 9000],
  [
    '429 with RateLimit',
    { kind: 'status', status: 429, headers: { RateLimit: '"resolvers";r=0;t=42' } },
    43_000,
  ],
  ['429 with Retry-After', { kind: 'status', status: 429, headers: { 'Retry-After': '11' } }, 11_000],
  [
    '429 with a date',
    { kind: 'status', status: 429, headers: { 'Retry-After': new Date(NOW_MS + 20_000).toUTCString() } },
    20_000,
  ],
  ['429 with nothing', { kind: 'status', status: 429 }, 500],
  ['a reset connection', { kind: 'reset' }, 500],
  ['a body cut off', { kind: 'cut', afterBytes: 20 }, 500],
  ['a body that is too short', { kind: 'short', bytes: 20 }, 500],
  ['an empty body', { kind: 'short', bytes: 0 }, 500],
  ['no answer', { kind: 'stall', afterBytes: -1 }, 500],
  ['a stalled body', { kind: 'stall', afterBytes: 20 }, 500],
  ['200 for a range', { kind: 'ignore-range' }, 500],
  ['another range', { kind: 'shift-range', by: 1 }, 500],
  ['another ETag once', { kind: 'etag', etag: '"other"' }, 500],
];

function silenceFor(fault: Fault): number | undefined {
  return fault.kind === 'stall' ? 1000 : undefined;
}

describe('a fault that passes', () => {
  test.each(PASSING)('%s is survived, byte for byte', async (_, fault, firstWaitMs) => {
    const { hub, clock, resolve } = await hubBench({}, {}, new VirtualClock(silenceFor(fault)));
    const source = await resolve('hub:team/articles/en');
    // Not the footer but a range of the text; the virtual clock stands where it began.
    expect(clock.sleeps).toEqual([]);
    hub.fail({ match: STORAGE, fault });
    expect(await textsOf(source)).toEqual(ARTICLE_TEXTS);
    expect(clock.sleeps[0]).toBe(firstWaitMs);
    expect(clock.notices.length).toBeGreaterThanOrEqual(1);
    expect(clock.notices[0]!.waitMs).toBe(firstWaitMs);
    expect(clock.notices[0]!.message).not.toContain('Signature');
  });

  test.each(PASSING.filter(([name]) => !/range|ETag|502|504|date/.test(name)))(
    '%s while resolving is survived',
    async (_, fault) => {
      const { hub, clock, resolve } = await hubBench({}, {}, new VirtualClock(silenceFor(fault)));
      for (const match of [/\/revision\//, /\/tree\//]) hub.fail({ match, fault });
      const source = await resolve('hub:team/articles/en');
      expect(source.identity.files.length).toBe(2);
      expect(clock.sleeps.length).toBeGreaterThanOrEqual(2);
    },
  );

  test('a 200 for a range is never taken', async () => {
    const { hub, resolve } = await hubBench();
    const source = await resolve('hub:team/articles/en');
    hub.fail({ match: STORAGE, fault: { kind: 'ignore-range' }, times: 3 });
    const isWhole = ({ status, route, range }: LoggedRequest) =>
      status === 200 && route === 'cdn' && range !== undefined;
    expect(await textsOf(source)).toEqual(ARTICLE_TEXTS);
    expect(hub.requests.filter(isWhole).length).toBe(3);
  });

  test('waits are told in words', async () => {
    const { hub, clock, resolve } = await hubBench();
    hub.fail({
      match: /revision/,
      fault: { kind: 'status', status: 429, headers: { RateLimit: '"api";r=0;t=41' } },
    });
    hub.fail({ match: /revision/, fault: { kind: 'reset' }, after: 1 });
    await resolve('hub:team/articles/en');
    const { host } = new URL(hub.endpoint);
    expect(clock.notices.map(({ reason, message }) => [reason, message])).toEqual([
      ['rate-limited', `rate limited by ${host}, waiting 42 s`],
      ['retry', expect.stringMatching(/^127.*\/revision\/main: .*ECONNRESET.*, try 2 of 5 in 0\.5 s$/)],
    ]);
  });
});

describe('a fault that stays', () => {
  test('gives up after the last try, with a growing wait between', async () => {
    const { hub, clock, resolve } = await hubBench({ announceXet: false });
    const source = await resolve('hub:team/articles/en');
    hub.fail({ match: /./, fault: { kind: 'status', status: 503 }, times: Number.POSITIVE_INFINITY });
    const error = await rejectionOf(chunksOf(source));
    expect(error.code).toBe('network');
    expect(error.message).toMatch(
      /^gave up on .*train-0000\d-of-00002\.parquet after 5 tries \(status 503\); run the same command again/,
    );
    expect([...new Set(clock.sleeps)]).toEqual([500, 1000, 2000, 4000]);
  });

  test('a file that really changed is not mixed with its old self', async () => {
    const { hub, resolve } = await hubBench();
    const source = await resolve('hub:team/articles/en');
    const rule = { match: STORAGE, fault: { kind: 'etag', etag: '"other"' } as const, times: 1000 };
    hub.fail(rule);
    const error = await rejectionOf(chunksOf(source));
    expect(error.code).toBe('mismatch');
    expect(error.message).toMatch(
      /train-00000-of-00002\.parquet changed while it was being read \(another ETag or size\)/,
    );
  });

  test('a wait that is too long is refused', async () => {
    const { hub, clock, resolve } = await hubBench();
    hub.fail({
      match: /revision/,
      fault: { kind: 'status', status: 429, headers: { 'Retry-After': '3600' } },
    });
    const error = await rejectionOf(resolve('hub:team/articles/en'));
    expect(error.message).toMatch(/asks to wait 60 minutes \(status 429\); run the same command again then/);
    expect(clock.sleeps).toEqual([]);
  });

  test('an abort ends waiting and reading at once', async () => {
    for (const fault of [
      { kind: 'stall', afterBytes: 10 } as const,
      { kind: 'status', status: 429, headers: { 'Retry-After': '600' } } as const,
    ]) {
      const controller = new AbortController();
      const hub = await hubForTest({
        repositories: [{ name: 'team/articles', revisions: { main: ARTICLE_FILES } }],
      });
      hub.fail({ match: /revision/, fault });
      const patient = createHubFetch({ endpoint: hub.endpoint, signal: controller.signal });
      const started = performance.now();
      const pending = patient(`${hub.endpoint}/api/datasets/team/articles/revision/main`);
      setTimeout(() => {
        controller.abort(new Error('stopped by the user'));
      }, 50);
      await expect(pending).rejects.toThrow('stopped by the user');
      expect(performance.now() - started).toBeLessThan(5000);
    }
  });
});

describe('rate limits', () => {
  test('a window that is used up is waited out, by everybody', async () => {
    const clock = new VirtualClock();
    const { hub, resolve } = await hubBench(
      { quotas: { resolvers: 3, api: 500 }, now: () => clock.nowMs },
      {},
      clock,
    );
    expect(await textsOf(await resolve('hub:team/articles/en'))).toEqual(ARTICLE_TEXTS);
    const refused = hub.requests.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThanOrEqual(1);
    expect(refused.length).toBeLessThanOrEqual(2);
    expect(clock.sleeps[0]).toBe(301_000);
  });

  test('requests that start meanwhile wait too, without asking', async () => {
    const clock = new VirtualClock();
    let releaseAll: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => {
      releaseAll = resolve;
    });
    const asked: string[] = [];
    let limited = true;
    const slowClock = {
      ...clock.tuning,
      sleep: async (ms: number) => {
        await gate;
        clock.nowMs += ms;
      },
    };
    const hubFetch = createHubFetch({
      endpoint: 'http://hub.test',
      ...slowClock,
      fetch: (input) => {
        asked.push(new Request(input).url);
        if (!limited) return Promise.resolve(new Response('ok'));
        limited = false;
        return Promise.resolve(new Response('', { status: 429, headers: { 'Retry-After': '30' } }));
      },
    });
    const first = hubFetch('http://hub.test/a');
    await new Promise((resolve) => setTimeout(resolve, 10));
    const second = hubFetch('http://hub.test/b');
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(asked).toEqual(['http://hub.test/a']);
    releaseAll?.();
    expect(await Promise.all([first, second].map(async (answer) => (await answer).text()))).toEqual([
      'ok',
      'ok',
    ]);
    expect(asked.length).toBe(3);
  });
});

describe('addresses that expire', () => {
  test('a signed address is asked for again', async () => {
    const clock = new VirtualClock();
    const { hub, resolve } = await hubBench({ now: () => clock.nowMs, signedUrlTtlMs: 60_000 }, {}, clock);
    const source = await resolve('hub:team/articles/en');
    clock.nowMs += 3_600_000;
    expect(await textsOf(source)).toEqual(ARTICLE_TEXTS);
    expect(hub.requests.some(({ status, route }) => status === 403 && route === 'cdn')).toBe(true);
    expect(hub.count('resolvers')).toBeLessThanOrEqual(8);
  });

  test('where storage cannot be had, the file is rebuilt by Xet', async () => {
    const { hub, clock, resolve } = await hubBench();
    hub.fail({ match: STORAGE, fault: { kind: 'status', status: 403 }, times: Number.POSITIVE_INFINITY });
    // An address of a xorb that has expired: the client asks for another.
    hub.fail({ match: /^GET \/xorb\//, fault: { kind: 'status', status: 403 }, after: 2 });
    expect(await textsOf(await resolve('hub:team/articles/en'))).toEqual(ARTICLE_TEXTS);
    expect(hub.requests.filter(({ url }) => url.startsWith('/xorb/')).length).toBeGreaterThan(4);
    expect(hub.requests.filter(({ url }) => url.includes('xet-read-token')).length).toBe(1);
    const storage = hub.requests.filter(({ url }) => url.startsWith('/xorb/'));
    expect(storage.every(({ authorization }) => authorization === undefined)).toBe(true);
    // Only the first read of a file tries the other way for long.
    expect(clock.sleeps.length).toBeLessThanOrEqual(8);
  });

  test('tokens for Xet that run out are renewed', async () => {
    const { hub, resolve } = await hubBench({ xetTokenTtlMs: 30_000 });
    hub.fail({ match: STORAGE, fault: { kind: 'status', status: 403 }, times: Number.POSITIVE_INFINITY });
    expect(await textsOf(await resolve('hub:team/articles/en'))).toEqual(ARTICLE_TEXTS);
    expect(hub.requests.filter(({ url }) => url.includes('xet-read-token')).length).toBeGreaterThan(1);
  });

  test.each<[string, Fault]>([
    ['cut', { kind: 'cut', afterBytes: 100 }],
    ['short', { kind: 'short', bytes: 100 }],
    ['503', { kind: 'status', status: 503 }],
    ['stalled', { kind: 'stall', afterBytes: 100 }],
  ])('a xorb that is %s is fetched again', async (_, fault) => {
    const { hub, resolve } = await hubBench({}, {}, new VirtualClock(silenceFor(fault)));
    hub.fail({ match: STORAGE, fault: { kind: 'status', status: 403 }, times: Number.POSITIVE_INFINITY });
    hub.fail({ match: /^GET \/xorb\//, fault, after: 1 });
    expect(await textsOf(await resolve('hub:team/articles/en'))).toEqual(ARTICLE_TEXTS);
  });

  test('both ways blocked: both are told', async () => {
    const { hub, resolve } = await hubBench();
    hub.fail({
      match: /^GET \/(xet-bridge|xorb)\//,
      fault: { kind: 'status', status: 403 },
      times: Number.POSITIVE_INFINITY,
    });
    const error = await rejectionOf(resolve('hub:team/articles/en'));
    expect(error.code).toBe('network');
    expect(error.message).toMatch(
      /cannot read en\/train-00000-of-00002\.parquet of dataset team\/articles: .*status 403.*; by Xet: /,
    );
    expect(error.message).not.toContain('\n');
  });
});

test('an address that fetch itself refuses is not tried again', async () => {
  const waits: string[] = [];
  const onWait = ({ message }: WaitNotice) => waits.push(message);
  // Port 1 is on the list of ports that no fetch may use.
  const context = { endpoint: 'http://127.0.0.1:1', onWait };
  const error = await rejectionOf(resolveSource('hub:team/articles/en', context));
  expect(error).toMatchObject({
    code: 'network',
    message: 'cannot connect to 127.0.0.1:1 (bad port); check HF_ENDPOINT and the certificates',
  });
  expect(waits).toEqual([]);
});
