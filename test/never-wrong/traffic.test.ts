import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { PrepareInput } from '../../pipeline/config.ts';
import { planPreparation } from '../../pipeline/prepare-plan.ts';
import { hashesBelow } from '../support/folders.ts';
import type { LoggedRequest } from '../support/hub/log.ts';
import type { TestHub } from '../support/hub/server.ts';
import { articles } from '../support/hub-datasets.ts';
import { type HubWorkplace, hubWorkplace } from '../support/hub-preparations.ts';
import { prepareToEnd, prepareUntil } from '../support/preparations.ts';
import { textParquet } from '../support/text-parquet.ts';

/** Bytes of a file's end that may come with its footer. */
const TAIL_BYTES = 512 * 1024;

/**
 * Two files of 6 row groups, some megabytes each, whose text is the smaller part: each row has an id that
 * nobody asked for.
 */
const ROWS = [articles(3000, 'first'), articles(1200, 'second')].map((rows) =>
  rows.map(({ id, text }) => ({ id: id.repeat(4), text })),
);
const FILES = await Promise.all(ROWS.map((rows) => textParquet(rows, rows.length / 6)));
const NUM_BYTES = FILES.reduce((sum, file) => sum + file.length, 0);
const TEXT_BYTES = ROWS.flat().reduce((sum, { text }) => sum + text.length, 0);

async function place(): Promise<HubWorkplace> {
  const opened = await hubWorkplace();
  opened.hub.commit('team/articles', 'main', {
    'en/train-00000-of-00002.parquet': FILES[0]!,
    'en/train-00001-of-00002.parquet': FILES[1]!,
  });
  onTestFinished(() => opened.close());
  return opened;
}

const SETTINGS: PrepareInput = { rowsPerShard: 1024, maxSeqLen: 256 };

/** Byte ranges that storage was asked for, by file, in order. */
function rangesOf(hub: TestHub): Map<string, { start: number; end: number }[]> {
  const ranges = new Map<string, { start: number; end: number }[]>();
  for (const { route, url, range } of hub.requests) {
    const match = /^bytes=(\d+)-(\d+)$/.exec(range ?? '');
    if (route !== 'cdn' || match === null) continue;
    const file = url.split('?')[0]!;
    const list = ranges.get(file) ?? [];
    list.push({ start: Number(match[1]), end: Number(match[2]) + 1 });
    ranges.set(file, list);
  }
  return ranges;
}

function bytesTwice(ranges: readonly { start: number; end: number }[]): number {
  const sorted = [...ranges].sort((a, b) => a.start - b.start);
  let covered = 0;
  let twice = 0;
  for (const { start, end } of sorted) {
    twice += Math.max(0, Math.min(end, covered) - start);
    covered = Math.max(covered, end);
  }
  return twice;
}

function countsOf(hub: TestHub): Record<string, number> {
  const count = (test: (request: LoggedRequest) => boolean): number => hub.requests.filter(test).length;
  return {
    commits: count(({ url }) => url.includes('/revision/')),
    listings: count(({ url }) => url.includes('/tree/')),
    addresses: count(({ url }) => url.startsWith('/datasets/') && url.includes('/resolve/')),
    contents: count(({ route }) => route === 'cdn'),
    other: count(({ url }) => /xorb|xet-read-token|reconstructions|paths-info/.test(url)),
  };
}

describe('preparation from the Hub', () => {
  it('asks for no more than it needs: the plan, two addresses a file, each footer once, the text once', async () => {
    expect(TEXT_BYTES).toBeLessThan(NUM_BYTES / 2);
    const { hub, config, context } = await place();
    await prepareToEnd(config('out', SETTINGS), context());
    expect(countsOf(hub)).toEqual({
      // One of the dataset and one of the tokenizer.
      commits: 2,
      listings: 1,
      // Of each file what it is, then where it is; later ranges go there at once.
      addresses: 2 * 2,
      // Of each file its footer, and a range for each of the six row groups that did not come whole with that.
      contents: 12,
      other: 0,
    });
    expect([...rangesOf(hub).values()].map(bytesTwice)).toEqual([0, 0]);
    expect(
      hub.requests.every(({ status }) => status < 300 || status === 302 || status === 307 || status === 404),
    ).toBe(true);
    const sent = hub.bytesSent();
    expect(sent).toBeGreaterThan(TEXT_BYTES);
    expect(sent).toBeLessThan(1.2 * TEXT_BYTES + 2 * TAIL_BYTES);
    expect(sent).toBeLessThan(0.75 * NUM_BYTES);
  });

  it('sends the same requests whatever the number of workers', async () => {
    const logs: string[][] = [];
    for (const workers of [0, 1, 8]) {
      const { hub, config, context } = await place();
      await prepareToEnd(config('out', { ...SETTINGS, workers }), context());
      logs.push(
        hub.requests.map(({ method, url, range }) => `${method} ${url.split('?')[0]!} ${range ?? ''}`).sort(),
      );
    }
    expect(logs[0]!.length).toBeGreaterThan(10);
    expect(logs[1]).toEqual(logs[0]);
    expect(logs[2]).toEqual(logs[0]);
  });

  it('begins with as many requests for 40 files as for 2', async () => {
    const small = await textParquet(ROWS[1]!.slice(0, 3));
    const numRequests: number[] = [];
    for (const numFiles of [2, 40]) {
      const { hub, config, context } = await place();
      const name = (file: number): string => `en/train-${String(file).padStart(5, '0')}-of-00040.parquet`;
      hub.commit(
        'team/articles',
        'main',
        Object.fromEntries(Array.from({ length: numFiles }, (_, file) => [name(file), small])),
      );
      await planPreparation(config('out', SETTINGS), context());
      numRequests.push(hub.requests.length);
    }
    expect(numRequests[0]).toBe(numRequests[1]);
    expect(numRequests[0]).toBeLessThanOrEqual(11);
  });

  it('plans without reading text', async () => {
    const { hub, config, context } = await place();
    await planPreparation(config('out', SETTINGS), context());
    expect(hub.bytesSent()).toBeLessThan(TAIL_BYTES + 20_000);
  });

  it('goes on without reading again what is done, wherever it was stopped, and asks nothing of the past', async () => {
    const whole = await place();
    const events = await prepareToEnd(whole.config('out', SETTINGS), whole.context());
    const expected = await hashesBelow(join(whole.folder, 'out'));
    const commits = events.filter(({ type }) => type === 'committed').length;
    expect(commits).toBeGreaterThan(5);
    const unit = Math.max(...FILES.map((file) => file.length / 6));
    for (let count = 1; count < commits; count += 3) {
      const { hub, folder, config, context } = await place();
      await prepareUntil(config('out', SETTINGS), 'committed', count, context());
      hub.resetLog();
      await prepareToEnd(config('out', SETTINGS), context());
      expect(await hashesBelow(join(folder, 'out'))).toEqual(expected);
      // Commit, listing and tokenizer are known from the manifest.
      expect(countsOf(hub)).toMatchObject({ commits: 0, listings: 0, other: 0 });
      // What is left, and at most one row group and the footers besides.
      const left = TEXT_BYTES * (1 - count / commits);
      expect(hub.bytesSent()).toBeLessThan(1.2 * left + unit + 2 * TAIL_BYTES);
      expect([...rangesOf(hub).values()].map(bytesTwice).every((bytes) => bytes === 0)).toBe(true);
    }
  });

  it('asks nothing at all of a Hub when the dataset is complete, but for one look at the first file', async () => {
    const { hub, config, context } = await place();
    await prepareToEnd(config('out', SETTINGS), context());
    hub.resetLog();
    const events = await prepareToEnd(config('out', SETTINGS), context());
    expect(events.at(-1)).toMatchObject({ type: 'done', wasComplete: true });
    expect(hub.requests.length).toBeLessThanOrEqual(3);
    expect(hub.bytesSent()).toBeLessThanOrEqual(TAIL_BYTES + 1000);
  });
});
