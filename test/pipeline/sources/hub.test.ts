import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createHubFiles, hubFromEnvironment } from '../../../pipeline/sources/hub.ts';
import { createHub } from '../../../pipeline/sources/hub-client.ts';
import { openInput } from '../../../pipeline/sources/mix.ts';
import { ARTICLE_FILES, ARTICLE_TEXTS, hubBench, hubForTest, SECOND } from '../../support/hub-datasets.ts';
import { startTestHub } from '../../support/hub/server.ts';
import { chunksOf, rejectionOf, summariesOf, textOf, textsOf, VirtualClock } from '../../support/sources.ts';
import { textParquet } from '../../support/text-parquet.ts';

const TOKEN = 'hf_reader';

describe('a dataset of the Hub', () => {
  test('is resolved to a commit and read whole', async () => {
    const { hub, resolve } = await hubBench();
    const source = await resolve('hub:team/articles/en');
    expect(source.identity).toMatchObject({
      spec: 'hub:team/articles/en',
      kind: 'hub',
      repository: 'team/articles',
      revision: 'main',
      config: 'en',
      column: 'text',
    });
    expect(source.identity.commit).toMatch(/^[0-9a-f]{40}$/);
    expect(source.identity.files.map(({ path }) => path)).toEqual([
      'en/train-00000-of-00002.parquet',
      'en/train-00001-of-00002.parquet',
    ]);
    expect(source.identity.files[0]!.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(await textsOf(source)).toEqual(ARTICLE_TEXTS);
    expect(hub.requests.every(({ status }) => status < 400)).toBe(true);
  });

  test('costs few requests, and only the bytes of its text', async () => {
    const { hub, resolve } = await hubBench();
    const source = await resolve('hub:team/articles/en');
    await chunksOf(source);
    // Revision and listing; per file its address and the first redirect; then ranges straight from storage:
    // a footer each, and five of the first file's six row groups, as the last came with its footer.
    expect(hub.count('api')).toBe(2);
    expect(hub.count('resolvers')).toBe(4);
    const ranges = hub.requests.filter(({ route }) => route === 'cdn').map(({ range }) => range);
    expect(ranges.every((range) => range !== undefined)).toBe(true);
    expect(ranges.length).toBe(1 + 5 + 1);
    expect(hub.count()).toBe(13);
    const textBytes = ARTICLE_TEXTS.reduce((sum, text) => sum + text.length, 0);
    const overhead = hub.bytesSent() - textBytes;
    expect(overhead).toBeLessThan(2 * 512 * 1024);
    expect(source.totalBytes - hub.bytesSent()).toBeGreaterThan(300_000);
  });

  test('resumes at every chunk', async () => {
    const { resolve } = await hubBench();
    const source = await resolve('hub:team/articles/en');
    const chunks = await chunksOf(source);
    expect(chunks.length).toBeGreaterThan(1);
    for (const [index, { next }] of chunks.entries()) {
      const tail = summariesOf(await chunksOf(source, next));
      expect(tail).toEqual(summariesOf(chunks.slice(index + 1)));
    }
  });

  test('a run that goes on reads its old commit, and looks nothing up', async () => {
    const { hub, resolve } = await hubBench();
    const before = await resolve('hub:team/articles/en');
    hub.commit('team/articles', 'main', { 'en/train.parquet': await textParquet([{ text: 'new' }]) });
    hub.resetLog();
    const after = await resolve('hub:team/articles/en', { pinned: [before.identity] });
    expect(after.identity).toEqual(before.identity);
    expect(await textsOf(after)).toEqual(ARTICLE_TEXTS);
    expect(hub.count('api')).toBe(0);
    expect(await textsOf(await resolve('hub:team/articles/en'))).toEqual(['new']);
  });

  test('a listing of several pages', async () => {
    const pages = Object.fromEntries(
      await Promise.all(
        Array.from({ length: 23 }, async (_, i) => {
          const path = `data/train-${String(i).padStart(5, '0')}.parquet`;
          return [path, await textParquet([{ text: `page ${i}` }])] as const;
        }),
      ),
    );
    const { hub, resolve } = await hubBench({
      repositories: [{ name: 'team/many', revisions: { main: pages } }],
      pageSize: 5,
    });
    const source = await resolve('hub:team/many');
    expect(await textsOf(source)).toEqual(Array.from({ length: 23 }, (_, i) => `page ${i}`));
    expect(hub.requests.filter(({ url }) => url.includes('/tree/')).length).toBe(5);
  });

  test('without Parquet, the converted branch is taken', async () => {
    const { resolve } = await hubBench({
      repositories: [
        {
          name: 'team/csv',
          revisions: {
            main: { 'data.csv': 'text\nx' },
            'refs/convert/parquet': { 'default/train/0000.parquet': await textParquet(SECOND) },
          },
        },
      ],
    });
    const source = await resolve('hub:team/csv');
    expect(source.identity).toMatchObject({ revision: 'refs/convert/parquet', config: 'default' });
    expect(await textsOf(source)).toEqual(SECOND.map(({ text }) => text));
  });

  test('odd characters in paths', async () => {
    const path = 'date=2024 #1/train é?.parquet';
    const { resolve } = await hubBench({
      repositories: [{ name: 'team/odd', revisions: { main: { [path]: await textParquet(SECOND) } } }],
    });
    expect(await textsOf(await resolve('hub:team/odd'))).toEqual(SECOND.map(({ text }) => text));
  });
});

describe('what the user is told', () => {
  const repositories = [
    {
      name: 'team/private',
      access: 'private' as const,
      allowed: [TOKEN],
      revisions: { main: ARTICLE_FILES },
    },
    { name: 'team/gated', access: 'gated' as const, allowed: [TOKEN], revisions: { main: ARTICLE_FILES } },
    { name: 'team/articles', revisions: { main: ARTICLE_FILES, 'only-test': { 'en/test.parquet': 'x' } } },
    { name: 'team/two', revisions: { main: { 'a/train.parquet': 'x', 'b/train.parquet': 'x' } } },
    {
      name: 'team/huge',
      revisions: { main: {}, 'refs/convert/parquet': { 'default/partial-train/0.parquet': 'x' } },
    },
  ];
  const tokens = [TOKEN, 'hf_other'];

  test.each([
    [
      'hub:team/nothing',
      undefined,
      'forbidden',
      'dataset team/nothing does not exist or is private (the Hub answered 401: Repository not found); check the name, or set HF_TOKEN to a token that may read it',
    ],
    [
      'hub:team/nothing',
      TOKEN,
      'not-found',
      'dataset team/nothing does not exist or is private (the Hub answered 404: Repository not found); check the name, and that the account of HF_TOKEN may read it',
    ],
    ['hub:team/private/en', undefined, 'forbidden', 'dataset team/private does not exist or is private'],
    ['hub:team/private/en', 'hf_other', 'not-found', 'dataset team/private does not exist or is private'],
    [
      'hub:team/articles/en',
      'hf_revoked',
      'forbidden',
      'HF_TOKEN is not valid (the Hub answered 401: Invalid credentials in Authorization header); make a new one at <hub>/settings/tokens',
    ],
    [
      'hub:team/gated/en',
      undefined,
      'forbidden',
      'dataset team/gated is gated; accept its terms at <hub>/datasets/team/gated and set HF_TOKEN to a token of that account',
    ],
    [
      'hub:team/gated/en',
      'hf_other',
      'forbidden',
      'dataset team/gated is gated; accept its terms at <hub>/datasets/team/gated with the account of HF_TOKEN',
    ],
    [
      'hub:team/articles/en@v2',
      undefined,
      'not-found',
      'dataset team/articles has no revision v2; see <hub>/datasets/team/articles/tree/main',
    ],
    [
      'hub:team/articles/de',
      undefined,
      'not-found',
      'dataset team/articles at main has no config de; it has en',
    ],
    [
      'hub:team/two',
      undefined,
      'not-found',
      'dataset team/two at main has several configs (a, b); name one, for instance hub:team/two/a',
    ],
    [
      'hub:team/articles/en#body',
      undefined,
      'not-found',
      'en/train-00000-of-00002.parquet of team/articles has no column body; its columns are id, text: name one with #column',
    ],
    [
      'hub:team/articles/en@only-test',
      undefined,
      'not-found',
      'dataset team/articles at only-test has no Parquet files of a train split of config en',
    ],
    [
      'hub:team/huge',
      undefined,
      'not-found',
      'dataset team/huge at refs/convert/parquet holds only the beginning',
    ],
  ])('%s with token %s', async (spec, token, code, message) => {
    const { hub, clock, resolve } = await hubBench({ repositories, tokens }, { token });
    const error = await rejectionOf(resolve(spec));
    expect(error).toMatchObject({
      code,
      message: expect.stringContaining(message.replaceAll('<hub>', hub.endpoint)) as string,
    });
    expect(error.message).not.toContain('\n');
    // No refusal is asked for twice.
    expect(clock.sleeps).toEqual([]);
  });

  test('a token opens what is gated or private, and never leaves the Hub', async () => {
    for (const name of ['private', 'gated']) {
      const { hub, resolve } = await hubBench({ repositories, tokens }, { token: TOKEN });
      expect(await textsOf(await resolve(`hub:team/${name}/en`))).toEqual(ARTICLE_TEXTS);
      const storage = hub.requests.filter(({ host }) => host.startsWith('localhost:'));
      expect(storage.length).toBeGreaterThan(4);
      expect(storage.every(({ authorization }) => authorization === undefined)).toBe(true);
      const own = hub.requests.filter(({ host }) => host.startsWith('127.0.0.1:'));
      expect(own.length).toBeGreaterThan(4);
      expect(own.every(({ authorization }) => authorization === `Bearer ${TOKEN}`)).toBe(true);
    }
  });

  test('a token does not follow a listing to another host', async () => {
    const { hub, resolve } = await hubBench({ tokens: [TOKEN] }, { token: TOKEN });
    const elsewhere = hub.endpoint.replace('127.0.0.1', 'localhost');
    const next = `<${elsewhere}/api/datasets/team/articles/tree/main?recursive=true>; rel="next"`;
    hub.fail({
      match: /\/tree\//,
      fault: {
        kind: 'status',
        status: 200,
        headers: { Link: next, 'Content-Type': 'application/json' },
        body: '[]',
      },
    });
    await resolve('hub:team/articles/en');
    const asked = hub.requests.filter(({ host, route }) => host.startsWith('localhost') && route === 'api');
    expect(asked.map(({ authorization }) => authorization)).toEqual([undefined]);
  });

  test('an endpoint or token that cannot be one', () => {
    expect(() => createHub({ endpoint: 'huggingface.co' })).toThrow(
      'HF_ENDPOINT is huggingface.co, expected',
    );
    expect(() => createHub({ token: 'secret' })).toThrow('HF_TOKEN does not begin with hf_');
    expect(createHub({ endpoint: 'https://hub.example.org/' }).endpoint).toBe('https://hub.example.org');
    expect(hubFromEnvironment({ HF_ENDPOINT: ' http://x ', HF_TOKEN: '' })).toEqual({
      endpoint: 'http://x',
      token: undefined,
    });
  });

  test('a Hub that cannot be reached', async () => {
    const gone = await startTestHub();
    await gone.close();
    const clock = new VirtualClock();
    const hub = createHub({ endpoint: gone.endpoint, onWait: clock.onWait }, clock.tuning);
    const error = await rejectionOf(hub.resolveCommit({ type: 'dataset', name: 'a/b' }, 'main'));
    expect(error.code).toBe('network');
    expect(error.message).toMatch(
      /^cannot reach 127\.0\.0\.1:\d+ \(.*ECONNREFUSED.*\); check the network and HF_ENDPOINT/,
    );
    expect(clock.sleeps).toEqual([500, 1000, 2000]);
  });
});

describe('files for the tokenizer', () => {
  test('come from one commit; missing ones are null', async () => {
    const hub = await hubForTest({
      repositories: [
        {
          type: 'model',
          name: 'team/bert',
          revisions: { main: { 'vocab.txt': '[PAD]\n[UNK]\n', 'tokenizer.json': 'x'.repeat(2_000_000) } },
        },
      ],
    });
    const files = createHubFiles({ endpoint: hub.endpoint });
    const read = async (path: string) => (await files.fetchHubFile('team/bert', path))?.length;
    expect(await read('vocab.txt')).toBe(12);
    expect(await read('tokenizer.json')).toBe(2_000_000);
    expect(await read('none.json')).toBeUndefined();
    expect(await files.fetchHubFile('team/bert', 'none.json')).toBeNull();
    expect(hub.count('api')).toBe(1);
    expect(await rejectionOf(files.fetchHubFile('team/nobody', 'vocab.txt'))).toMatchObject({
      code: 'forbidden',
      message: expect.stringMatching(/^model team\/nobody does not exist or is private/) as string,
    });
  });
});

const SHARED = join(import.meta.dirname, '../../../../shared/hub');

describe.skipIf(!existsSync(SHARED))(
  'the stand-in for Wikipedia and BookCorpus (needs ../shared/hub)',
  () => {
    test('both are read through the defaults, weighted', async () => {
      const hub = await hubForTest({ root: SHARED });
      const input = await openInput(['1:wikipedia', '2:bookcorpus'], { endpoint: hub.endpoint });
      expect(input.identities.map(({ files }) => files.length)).toEqual([4, 3]);
      let numDocuments = 0;
      const inputBytes = [0, 0];
      for await (const chunk of input.read(input.start())) {
        numDocuments += textOf(chunk.documents).ends.length;
        inputBytes[chunk.source] = chunk.inputBytes;
      }
      expect(numDocuments).toBe(505_771);
      expect(inputBytes[0]! + inputBytes[1]!).toBe(input.totalBytes);
      expect(hub.bytesSent()).toBeLessThan(input.totalBytes);
      expect(hub.count('resolvers')).toBe(14);
    });
  },
);
