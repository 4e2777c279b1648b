import { cp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { hashesBelow } from '../support/folders.ts';
import { type HubWorkplace, hubWorkplace } from '../support/hub-preparations.ts';
import { failureOf, prepareToEnd } from '../support/preparations.ts';

let place: HubWorkplace;
let cacheFolder = '';
/** Files that a first run kept, by their path below the cache. */
let kept: Record<string, string> = {};
let expected: Record<string, string> = {};
let numRuns = 0;

beforeAll(async () => {
  place = await hubWorkplace();
  cacheFolder = join(place.folder, 'cache');
  await prepareToEnd(place.config('first'), place.context({ cacheFolder }));
  kept = await hashesBelow(cacheFolder);
  expected = await hashesBelow(join(place.folder, 'first'));
  await cp(cacheFolder, join(place.folder, 'intact'), { recursive: true });
});
afterAll(() => place.close());
beforeEach(async () => {
  await rm(cacheFolder, { recursive: true, force: true });
  await cp(join(place.folder, 'intact'), cacheFolder, { recursive: true });
  place.hub.resetLog();
});

/** Path of a kept file by its name. */
function pathOf(name: string): string {
  const found = Object.keys(kept).find((path) => path.endsWith(name));
  if (found === undefined) throw new Error(`${name} was not kept`);
  return join(cacheFolder, found);
}

async function flip(path: string, at: (length: number) => number): Promise<void> {
  const content = await readFile(path);
  content[at(content.length)]! ^= 1;
  await writeFile(path, content);
}

async function prepareAgain(): Promise<Record<string, string>> {
  numRuns += 1;
  const out = `again-${numRuns}`;
  await prepareToEnd(place.config(out), place.context({ cacheFolder }));
  return hashesBelow(join(place.folder, out));
}

const FILES = ['train-00000-of-00002.parquet', 'train-00001-of-00002.parquet', 'vocab.txt'] as const;

describe('a file that --cache-downloads kept', () => {
  it('is read the second time, and not asked for again', async () => {
    expect(await prepareAgain()).toEqual(expected);
    expect(place.hub.count('cdn')).toBe(0);
    expect(Object.keys(kept).filter((path) => FILES.some((name) => path.endsWith(name)))).toHaveLength(3);
  });

  it.each(
    FILES.flatMap((name) =>
      (
        [
          ['at its beginning', (length: number) => Math.min(length - 1, 40)],
          ['in its middle', (length: number) => length >> 1],
          ['near its end', (length: number) => length - 20],
        ] as const
      ).map(([where, at]) => ({ name, where, at })),
    ),
  )('$name with one flipped bit $where is noticed and fetched again', async ({ name, at }) => {
    await flip(pathOf(name), at);
    expect(await prepareAgain()).toEqual(expected);
    // The cache is whole again.
    expect(await hashesBelow(cacheFolder)).toEqual(kept);
    expect(place.hub.requests.some(({ url }) => url.includes(name))).toBe(true);
  });

  it.each([
    ['cut off', (path: string) => truncate(path, 100)],
    ['empty', (path: string) => truncate(path, 0)],
    ['gone', (path: string) => rm(path)],
  ])('%s is fetched again', async (_how, spoil) => {
    for (const name of FILES) await spoil(pathOf(name));
    expect(await prepareAgain()).toEqual(expected);
    expect(await hashesBelow(cacheFolder)).toEqual(kept);
  });

  it('that comes damaged from the Hub is removed and named in one line, and the next run has it whole', async () => {
    const name = FILES[1];
    await rm(pathOf(name));
    const spoiled = await readFile(
      join(
        place.folder,
        'intact',
        ...pathOf(name)
          .slice(cacheFolder.length + 1)
          .split('/'),
      ),
    );
    spoiled[spoiled.length >> 1]! ^= 1;
    const spoil: typeof fetch = async (input, init) => {
      const response = await fetch(input, init);
      const range = /^bytes 0-(\d+)\//.exec(response.headers.get('Content-Range') ?? '');
      const { status, headers } = response;
      const isWhole = range !== null && Number(range[1]) === spoiled.length - 1;
      return isWhole ? new Response(spoiled, { status, headers }) : response;
    };
    const context = place.context({ cacheFolder, fetch: spoil });
    const error = await failureOf(prepareToEnd(place.config('spoiled'), context));
    expect(error.code).toBe('corrupt');
    expect(error.message).toMatch(
      /^the download of en\/train-00001-of-00002\.parquet of team\/articles is damaged .*$/,
    );
    await prepareToEnd(place.config('spoiled'), place.context({ cacheFolder }));
    expect(await hashesBelow(join(place.folder, 'spoiled'))).toEqual(expected);
  });
});
