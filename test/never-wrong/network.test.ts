import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { hashesBelow } from '../support/folders.ts';
import type { Fault } from '../support/hub/faults.ts';
import type { TestHub } from '../support/hub/server.ts';
import { type HubWorkplace, hubWorkplace } from '../support/hub-preparations.ts';
import { failureOf, prepareToEnd } from '../support/preparations.ts';

/** Where a request can fail: everything that a preparation asks for. */
const PLACES = {
  commit: /^GET \/api\/datasets\/team\/articles\/revision\//,
  listing: /^GET \/api\/datasets\/team\/articles\/tree\//,
  tokenizer: /^GET \/team\/letters\/resolve\/.*\/vocab\.txt/,
  address: /^GET \/datasets\/team\/articles\/resolve\/.*train-00000/,
  content: /^GET \/xet-bridge\//,
} as const;

let expected: Record<string, string> = {};
beforeAll(async () => {
  const place = await hubWorkplace();
  await prepareToEnd(place.config('out'), place.context());
  expected = await hashesBelow(join(place.folder, 'out'));
  await place.close();
  expect(Object.keys(expected).length).toBeGreaterThan(6);
});

function contextFor(place: HubWorkplace, isCached: boolean): ReturnType<HubWorkplace['context']> {
  return place.context(isCached ? { cacheFolder: join(place.folder, 'cache') } : {});
}

function failEverywhere(hub: TestHub, fault: Fault): void {
  // The first ETag that is seen counts as the file's own.
  const places = fault.kind === 'etag' ? [] : Object.values(PLACES);
  for (const match of places) hub.fail({ match, fault });
  // The bytes of the text, not only those of the footer.
  hub.fail({ match: PLACES.content, fault, after: 2 });
}

const ONCE: readonly (readonly [string, Fault])[] = [
  ['429 that says when', { kind: 'status', status: 429, headers: { RateLimit: '"resolvers";r=0;t=0' } }],
  ['429 with Retry-After', { kind: 'status', status: 429, headers: { 'Retry-After': '1' } }],
  ['500', { kind: 'status', status: 500 }],
  ['502', { kind: 'status', status: 502 }],
  ['503', { kind: 'status', status: 503 }],
  ['504', { kind: 'status', status: 504 }],
  ['a reset connection', { kind: 'reset' }],
  ['a body cut off', { kind: 'cut', afterBytes: 30 }],
  ['a short body', { kind: 'short', bytes: 30 }],
  ['an empty body', { kind: 'short', bytes: 0 }],
  ['the whole file for a range', { kind: 'ignore-range' }],
  ['another range', { kind: 'shift-range', by: 1 }],
  ['another ETag', { kind: 'etag', etag: '"other"' }],
];

/** What only whole downloads can get wrong. */
const ONCE_IN_DOWNLOADS = ONCE.filter(([name]) => /503|body|range/.test(name));

describe.concurrent('a fault of the network that passes, wherever it strikes, leaves no trace in the shards', () => {
  async function expectSurvived(place: HubWorkplace, isCached: boolean): Promise<void> {
    await prepareToEnd(place.config('out'), contextFor(place, isCached));
    expect(await hashesBelow(join(place.folder, 'out'))).toEqual(expected);
    expect(place.notices.length).toBeGreaterThanOrEqual(1);
  }

  it.for(ONCE)('%s, by byte ranges', async ([, fault], { onTestFinished: onFinished }) => {
    const place = await hubWorkplace();
    onFinished(() => place.close());
    failEverywhere(place.hub, fault);
    await expectSurvived(place, false);
  });

  it.for(ONCE_IN_DOWNLOADS)(
    '%s, with --cache-downloads',
    async ([, fault], { onTestFinished: onFinished }) => {
      const place = await hubWorkplace();
      onFinished(() => place.close());
      failEverywhere(place.hub, fault);
      await expectSurvived(place, true);
    },
  );
});

describe('silence', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it.each([
    ['before an answer, by byte ranges', -1, false],
    ['within a body, with --cache-downloads', 30, true],
  ] as const)('%s is cut and asked again', async (_where, afterBytes, isCached) => {
    const realSetTimeout = globalThis.setTimeout;
    const hasten = (handler: (...args: unknown[]) => void, ms = 0, ...args: unknown[]): NodeJS.Timeout =>
      realSetTimeout(handler, ms >= 10_000 ? ms / 60 : ms, ...args);
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(hasten as typeof setTimeout);
    const place = await hubWorkplace();
    onTestFinished(() => place.close());
    failEverywhere(place.hub, { kind: 'stall', afterBytes });
    await prepareToEnd(place.config('out'), contextFor(place, isCached));
    expect(await hashesBelow(join(place.folder, 'out'))).toEqual(expected);
    expect(place.notices.length).toBeGreaterThanOrEqual(6);
  });
});

describe('a rate limit', () => {
  it('is waited out until its window ends, and nobody asks meanwhile', async () => {
    const place = await hubWorkplace();
    onTestFinished(() => place.close());
    const headers = {
      RateLimit: '"resolvers";r=0;t=1',
      'RateLimit-Policy': '"fixed window";"resolvers";q=3000;w=300',
    };
    place.hub.fail({ match: PLACES.address, fault: { kind: 'status', status: 429, headers } });
    let limitedAt = 0;
    let askedAt = 0;
    const timed: typeof fetch = async (input, init) => {
      const isToHub = new Request(input).url.startsWith(place.hub.endpoint);
      if (limitedAt > 0 && isToHub) askedAt ||= performance.now();
      const response = await fetch(input, init);
      if (response.status === 429) limitedAt = performance.now();
      return response;
    };
    await prepareToEnd(place.config('out'), place.context({ fetch: timed }));
    // The window's second, and one more for clocks that differ; timers may fire a little early.
    expect(askedAt - limitedAt).toBeGreaterThan(1990);
    expect(place.notices).toMatchObject([{ reason: 'rate-limited', waitMs: 2000 }]);
    expect(await hashesBelow(join(place.folder, 'out'))).toEqual(expected);
  });
});

describe.concurrent('a refusal that no retry changes ends preparation at once in one line', () => {
  const where = ['commit', 'listing', 'tokenizer', 'address'] as const;
  it.for([401, 403, 404, 410].flatMap((status) => where.map((name) => ({ status, name }))))(
    '$status for the $name',
    async ({ status, name }, { onTestFinished: onFinished }) => {
      const place = await hubWorkplace();
      onFinished(() => place.close());
      const match = PLACES[name];
      place.hub.fail({ match, fault: { kind: 'status', status }, times: Number.POSITIVE_INFINITY });
      const error = await failureOf(prepareToEnd(place.config('out'), place.context()));
      expect(error.message).not.toContain('\n');
      expect(error.message).toContain(name === 'tokenizer' ? 'team/letters' : 'team/articles');
      const asked = place.hub.requests.filter(({ method, url }) => match.test(`${method} ${url}`));
      expect(asked).toHaveLength(1);
      expect(place.notices).toEqual([]);
      // Nothing was begun: the folder is not even there.
      expect(await readdir(place.folder)).not.toContain('out');
    },
  );
});

describe('a fault that stays', () => {
  it('ends preparation in one line, and the next run goes on to identical bytes', async () => {
    const place = await hubWorkplace();
    onTestFinished(() => place.close());
    // Footers and the first ranges come; then the file is another one for good.
    place.hub.fail({
      match: PLACES.content,
      fault: { kind: 'etag', etag: '"other"' },
      after: 3,
      times: Number.POSITIVE_INFINITY,
    });
    const error = await failureOf(prepareToEnd(place.config('out'), place.context()));
    expect(error.code).toBe('mismatch');
    expect(error.message).toMatch(/^.*train-0000\d-of-00002\.parquet changed while it was being read.*$/);
    place.hub.clearFaults();
    await prepareToEnd(place.config('out'), place.context());
    expect(await hashesBelow(join(place.folder, 'out'))).toEqual(expected);
  });

  it('as a branch that moves, does not: the commit of the first run is read to the end', async () => {
    const place = await hubWorkplace();
    onTestFinished(() => place.close());
    place.hub.fail({ match: PLACES.content, fault: { kind: 'status', status: 404 }, after: 3, times: 1000 });
    place.hub.fail({ match: /^GET \/xorb\//, fault: { kind: 'status', status: 404 }, times: 1000 });
    const error = await failureOf(prepareToEnd(place.config('out'), place.context()));
    expect(error.message).not.toContain('\n');
    expect(error.message).toContain('team/articles');
    place.hub.clearFaults();
    place.hub.commit('team/articles', 'main', { 'en/train-00000-of-00001.parquet': Buffer.from('PAR1') });
    await prepareToEnd(place.config('out'), place.context());
    expect(await hashesBelow(join(place.folder, 'out'))).toEqual(expected);
  });
});
