import { mkdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createHubFiles, resolveHubDataset } from '../../../pipeline/sources/hub.ts';
import { cachedPath } from '../../../pipeline/sources/hub-cache.ts';
import { lockFolder } from '../../../pipeline/shards/lock.ts';
import { filesBelow, temporaryFolder } from '../../support/folders.ts';
import { ARTICLE_FILES, ARTICLE_TEXTS, hubBench, hubForTest } from '../../support/hub-datasets.ts';
import { rejectionOf, textsOf } from '../../support/sources.ts';

const REPOSITORY = { type: 'dataset', name: 'team/articles' } as const;
const FIRST_FILE = 'en/train-00000-of-00002.parquet';

describe('--cache-downloads', () => {
  test('keeps the files whole, and a second run asks the Hub for commit and listing alone', async () => {
    const cacheFolder = await temporaryFolder();
    const { hub, resolve } = await hubBench();
    const source = await resolve('hub:team/articles/en', { cacheFolder });
    expect((await filesBelow(cacheFolder)).size).toBe(0);
    expect(await textsOf(source)).toEqual(ARTICLE_TEXTS);
    const kept = await filesBelow(join(cacheFolder, 'datasets--team--articles', source.identity.commit!));
    expect([...kept.keys()]).toEqual([FIRST_FILE, 'en/train-00001-of-00002.parquet']);
    expect(kept.get(FIRST_FILE)!.equals(ARTICLE_FILES[FIRST_FILE])).toBe(true);
    hub.resetLog();
    expect(await textsOf(await resolve('hub:team/articles/en', { cacheFolder }))).toEqual(ARTICLE_TEXTS);
    expect(hub.count()).toBe(2);
    expect(hub.count('api')).toBe(2);
    hub.resetLog();
    const again = await resolve('hub:team/articles/en', { cacheFolder, pinned: [source.identity] });
    expect(await textsOf(again)).toEqual(ARTICLE_TEXTS);
    expect(hub.count()).toBe(0);
  });

  test('goes on with a download that was interrupted', async () => {
    const cacheFolder = await temporaryFolder();
    const { hub, resolve } = await hubBench();
    const source = await resolve('hub:team/articles/en', { cacheFolder });
    const path = cachedPath(cacheFolder, REPOSITORY, source.identity.commit!, FIRST_FILE);
    await mkdir(dirname(path), { recursive: true });
    const half = ARTICLE_FILES[FIRST_FILE].subarray(0, 900_000);
    await writeFile(`${path}.partial`, half);
    hub.resetLog();
    expect(await textsOf(source)).toEqual(ARTICLE_TEXTS);
    expect(hub.requests.some(({ range }) => range?.startsWith('bytes=900000-') === true)).toBe(true);
    expect(hub.bytesSent()).toBeLessThan(source.totalBytes - 800_000);
    await expect(stat(`${path}.partial`)).rejects.toThrow('ENOENT');
  });

  test.each([
    ['spoiled', (bytes: Uint8Array) => Buffer.from(bytes).fill(7, 500, 600)],
    ['too long', (bytes: Uint8Array) => Buffer.concat([bytes, bytes])],
  ])('a kept part that is %s does not become a file', async (name, spoil) => {
    const cacheFolder = await temporaryFolder();
    const { resolve } = await hubBench();
    const source = await resolve('hub:team/articles/en', { cacheFolder });
    const path = cachedPath(cacheFolder, REPOSITORY, source.identity.commit!, FIRST_FILE);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(`${path}.partial`, spoil(ARTICLE_FILES[FIRST_FILE].subarray(0, 900_000)));
    if (name === 'spoiled') {
      const error = await rejectionOf(textsOf(source));
      expect(error.code).toBe('corrupt');
      expect(error.message).toMatch(
        /^the download of en\/train-00000-of-00002\.parquet of team\/articles is damaged \(sha256 /,
      );
      await expect(stat(path)).rejects.toThrow('ENOENT');
    }
    expect(await textsOf(source)).toEqual(ARTICLE_TEXTS);
    expect(Buffer.compare(await readFile(path), ARTICLE_FILES[FIRST_FILE])).toBe(0);
  });

  test('a kept file of the wrong size is fetched again', async () => {
    const cacheFolder = await temporaryFolder();
    const { resolve } = await hubBench();
    const source = await resolve('hub:team/articles/en', { cacheFolder });
    await textsOf(source);
    await truncate(cachedPath(cacheFolder, REPOSITORY, source.identity.commit!, FIRST_FILE), 1000);
    expect(await textsOf(source)).toEqual(ARTICLE_TEXTS);
  });

  test('a fault in the middle loses nothing that was kept', async () => {
    const cacheFolder = await temporaryFolder();
    const { hub, clock, resolve } = await hubBench();
    const source = await resolve('hub:team/articles/en', { cacheFolder });
    hub.fail({ match: /xet-bridge/, fault: { kind: 'cut', afterBytes: 50_000 }, times: 2 });
    expect(await textsOf(source)).toEqual(ARTICLE_TEXTS);
    expect(clock.sleeps).toEqual([500, 1000]);
  });

  test('waits for another process that downloads to the same place', async () => {
    const cacheFolder = await temporaryFolder();
    const { clock, resolve } = await hubBench();
    const source = await resolve('hub:team/articles/en', { cacheFolder });
    const folder = dirname(cachedPath(cacheFolder, REPOSITORY, source.identity.commit!, FIRST_FILE));
    await mkdir(folder, { recursive: true });
    const lock = await lockFolder(folder);
    const reading = textsOf(source);
    while (clock.notices.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(clock.notices[0]!.message).toBe(`another process is downloading to ${folder}, waiting for it`);
    await lock.release();
    expect(await reading).toEqual(ARTICLE_TEXTS);
  });

  test('a listing cannot write outside of the cache', () => {
    expect(() => cachedPath('/cache', REPOSITORY, 'a'.repeat(40), '../../../etc/passwd')).toThrow(
      'lies outside of the repository',
    );
  });

  test('keeps the files of tokenizers', async () => {
    const cacheFolder = await temporaryFolder();
    const hub = await hubForTest({
      repositories: [{ type: 'model', name: 'team/bert', revisions: { main: { 'vocab.txt': '[PAD]\n' } } }],
    });
    for (let run = 0; run < 2; run++) {
      const files = createHubFiles({ endpoint: hub.endpoint, cacheFolder });
      expect(Buffer.from((await files.fetchHubFile('team/bert', 'vocab.txt'))!).toString()).toBe('[PAD]\n');
    }
    expect(hub.requests.filter(({ url }) => url.includes('/resolve/')).length).toBe(1);
    expect([...(await filesBelow(cacheFolder)).keys()][0]).toMatch(
      /^models--team--bert\/[0-9a-f]{40}\/vocab\.txt$/,
    );
  });

  test('resolveHubDataset makes its own client', async () => {
    const hub = await hubForTest({
      repositories: [{ name: 'team/articles', revisions: { main: ARTICLE_FILES } }],
    });
    const spec = {
      text: 'x',
      kind: 'hub',
      repository: 'team/articles',
      revision: undefined,
      config: 'en',
      column: 'text',
      weight: undefined,
    } as const;
    expect((await textsOf(await resolveHubDataset(spec, { endpoint: hub.endpoint }))).length).toBe(1540);
  });
});
