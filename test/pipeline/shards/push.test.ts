import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { planPush, push } from '../../../pipeline/shards/push.ts';
import type { LocalFile } from '../../../pipeline/shards/push-files.ts';
import { commitsOfFiles } from '../../../pipeline/shards/push-plan.ts';
import { checkRepositoryName } from '../../../pipeline/shards/push-repository.ts';
import { verifyDataset } from '../../../pipeline/shards/verify.ts';
import { createHubWriter } from '../../../pipeline/sources/hub-upload.ts';
import { filesBelow, temporaryFolder } from '../../support/folders.ts';
import type { LoggedRequest } from '../../support/hub/log.ts';
import type { UploadMode } from '../../support/hub/routes.ts';
import { mixedConfig, prepareToEnd, writeInputs } from '../../support/preparations.ts';
import { type PushBench, pushBench, REPOSITORY, SHAPE } from '../../support/pushed-dataset.ts';
import { rejectionOf, VirtualClock } from '../../support/sources.ts';

const UPLOAD = /^PUT \/upload\/|^POST \/v1\/xorbs\//;
const COMMIT = /^POST \/api\/datasets\/team\/words\/commit\//;

/** The repository holds the folder's files and a card, and nothing else. */
async function expectPushed({ hub, folder }: PushBench, revision = 'main'): Promise<void> {
  const there = await hub.filesOf(REPOSITORY, revision);
  const local = await filesBelow(folder);
  const names = [...local.keys(), '.gitattributes', 'README.md'].sort();
  expect([...there!.keys()].sort()).toEqual(names);
  for (const [name, bytes] of local) expect(there!.get(name)?.equals(bytes), name).toBe(true);
}

function uploads({ hub }: PushBench): readonly LoggedRequest[] {
  return hub.requests.filter(({ method, url }) => UPLOAD.test(`${method} ${url}`));
}

describe('push', () => {
  it.each<[string, UploadMode]>([
    ['in one piece', 'basic'],
    ['in parts', { partBytes: 700 }],
    ['as Xet', 'xet'],
  ])('brings every file over, %s', async (_, uploadMode) => {
    const bench = await pushBench({ uploadMode });
    const events = await bench.push();
    await expectPushed(bench);
    expect(uploads(bench).length).toBeGreaterThanOrEqual(uploadMode === 'xet' ? 1 : 5);
    expect(bench.hub.isPrivate(REPOSITORY)).toBe(true);
    expect(events.at(-1)).toMatchObject({ kind: 'done', isUnchanged: false });
    const progress = events.filter((event) => event.kind === 'uploading');
    const totalBytes = progress[0]!.totalBytes;
    expect(progress.at(-1)).toEqual({ kind: 'uploading', doneBytes: totalBytes, totalBytes });
    // Nothing of the token goes to the storage.
    for (const { host, authorization } of bench.hub.requests) {
      if (host.startsWith('localhost')) expect(authorization ?? '').not.toContain('hf_');
    }
  });

  it('leaves out what only preparation needs, and nobody misses it', async () => {
    const home = await temporaryFolder();
    await writeInputs(home, 300);
    const config = mixedConfig(home, { dedup: 'exact' });
    await prepareToEnd(config);
    const state = [...(await filesBelow(config.out)).keys()].filter((name) => name.startsWith('seen/'));
    expect(state.length).toBeGreaterThan(0);
    const bench = await pushBench();
    await bench.push({ folder: config.out });
    const there = [...(await bench.hub.filesOf(REPOSITORY))!.keys()];
    expect(there.filter((name) => name.startsWith('seen/'))).toEqual([]);
    const events: string[] = [];
    for await (const { kind } of verifyDataset(await bench.open())) events.push(kind);
    expect(events).toContain('progress');
    expect(events).not.toContain('damaged');
  });

  it('of what is there already uploads nothing', async () => {
    const bench = await pushBench();
    await bench.push();
    bench.hub.resetLog();
    const events = await bench.push();
    expect(events).toEqual([expect.objectContaining({ kind: 'done', isUnchanged: true })]);
    expect(bench.hub.requests.filter(({ method }) => method !== 'GET')).toEqual([]);
  });

  it.each([0, 1, 2, 3])('cut off after %i commits goes on with what is missing', async (numCommits) => {
    // A shard a commit: their limit is of bytes, or of files.
    const bench = await pushBench({}, { ...SHAPE, train: Array.from({ length: 36 }, () => 8) });
    const forGood = {
      match: COMMIT,
      fault: { kind: 'status', status: 400 } as const,
      after: numCommits,
      times: 100,
    };
    bench.hub.fail(forGood);
    await expect(bench.push()).rejects.toMatchObject({ code: 'network' });
    const before = await bench.hub.filesOf(REPOSITORY);
    expect(before?.has('manifest.json')).toBe(false);
    const numThere = [...before!.keys()].filter((name) => name.endsWith('.parquet')).length;
    expect(numThere).toBe(Math.min(38, 16 * numCommits));

    bench.hub.clearFaults();
    bench.hub.resetLog();
    await bench.push();
    await expectPushed(bench);
    // The commit that failed had uploaded its files; the Hub knows them.
    expect(uploads(bench).length).toBe(38 - Math.min(38, 16 * (numCommits + 1)));
  });

  it('commits the manifest last, in a commit of its own behind all shards', async () => {
    const bench = await pushBench();
    const commits: string[][] = [];
    await push(await bench.plan(), (event) => {
      if (event.kind === 'committed') commits.push([...event.files]);
    });
    expect(commits).toEqual([
      [
        'train/00000.parquet',
        'train/00001.parquet',
        'train/00002.parquet',
        'validation/00000.parquet',
        'validation/00001.parquet',
      ],
      ['vocab.txt', 'tokenizer.json', 'tokenizer_config.json', 'README.md', 'manifest.json'],
    ]);
  });

  it('replaces another dataset without ever showing a manifest of shards that are not there', async () => {
    const bench = await pushBench();
    await bench.push();
    const other = await pushBench({}, { train: [32, 16], validation: [8], seed: 7 });
    const plan = await bench.plan({ folder: other.folder });
    expect(plan.notes).toEqual([expect.stringContaining('holds another dataset, which this one replaces')]);
    expect(plan.delta.stale).toEqual(['train/00002.parquet', 'validation/00001.parquet']);
    const states: Promise<ReadonlyMap<string, Buffer> | undefined>[] = [];
    await push(plan, (event) => {
      if (event.kind === 'committed') states.push(bench.hub.filesOf(REPOSITORY));
    });
    await expectPushed({ ...bench, folder: other.folder });
    const seen = await Promise.all(states);
    expect(seen.map((files) => files!.has('manifest.json'))).toEqual([false, true]);
  });

  it('takes the old manifest away before the first new shard', async () => {
    const bench = await pushBench();
    await bench.push();
    const other = await pushBench({}, { train: [32, 16], validation: [8], seed: 7 });
    bench.hub.fail({ match: COMMIT, fault: { kind: 'status', status: 400 }, after: 1, times: 100 });
    await expect(bench.push({ folder: other.folder })).rejects.toMatchObject({ code: 'network' });
    const there = await bench.hub.filesOf(REPOSITORY);
    expect(there!.has('manifest.json')).toBe(false);
    expect(there!.has('train/00002.parquet')).toBe(false);
  });

  it("keeps what the owner made of the card, as long as it's the card of these rows", async () => {
    const bench = await pushBench();
    await bench.push();
    const there = (await bench.hub.filesOf(REPOSITORY))!;
    const card = there.get('README.md')!.toString().replace('license: other', 'license: cc-by-sa-3.0');
    const contents = Object.fromEntries([...there, ['README.md', Buffer.from(card)]]);
    delete contents['vocab.txt'];
    bench.hub.commit(REPOSITORY, 'main', contents);
    await bench.push();
    const after = (await bench.hub.filesOf(REPOSITORY))!;
    expect(after.get('README.md')!.toString()).toBe(card);
    expect(after.has('vocab.txt')).toBe(true);
  });

  it('makes a branch, which begins with what main has, and leaves main alone', async () => {
    const bench = await pushBench();
    await bench.push();
    const other = await pushBench({}, { train: [24], validation: [8], seed: 7 });
    const main = await bench.hub.filesOf(REPOSITORY);
    await bench.push({ folder: other.folder, branch: 'v2' });
    await expectPushed({ ...bench, folder: other.folder }, 'v2');
    expect(await bench.hub.filesOf(REPOSITORY)).toEqual(main);
    expect((await bench.hub.filesOf(REPOSITORY, 'v2'))!.get('README.md')!.toString()).toContain(
      'hub:team/words@v2',
    );
  });

  it('goes on when somebody else commits before the manifest', async () => {
    const bench = await pushBench();
    let isDone = false;
    await push(await bench.plan(), (event) => {
      if (event.kind !== 'committed' || isDone) return;
      isDone = true;
      // After the listing that the manifest's commit builds on.
      bench.hub.fail({
        match: (request) => {
          if (!COMMIT.test(`${request.method} ${request.url}`)) return false;
          void bench.hub.filesOf(REPOSITORY).then((files) => {
            bench.hub.commit(
              REPOSITORY,
              'main',
              Object.fromEntries([...files!, ['LICENSE', Buffer.from('x')]]),
            );
          });
          return false;
        },
        fault: { kind: 'reset' },
      });
    });
    expect(bench.hub.requests.filter(({ status }) => status === 412)).toHaveLength(1);
    const there = await bench.hub.filesOf(REPOSITORY);
    expect(there!.get('manifest.json')).toEqual(await readFile(join(bench.folder, 'manifest.json')));
  });

  describe('survives', () => {
    it.each([
      ['503', { kind: 'status', status: 503 }],
      ['429 with RateLimit', { kind: 'status', status: 429, headers: { RateLimit: '"api";r=0;t=42' } }],
      ['a reset connection', { kind: 'reset' }],
    ] as const)('%s in each kind of request', async (_, fault) => {
      const bench = await pushBench();
      const kinds = [
        /whoami/,
        /repos\/create/,
        /\/revision\//,
        /\/tree\//,
        /preupload/,
        /objects\/batch/,
        UPLOAD,
        COMMIT,
      ];
      for (const match of kinds) bench.hub.fail({ match, fault });
      await bench.push();
      await expectPushed(bench);
      expect(bench.clock.sleeps.length).toBeGreaterThanOrEqual(kinds.length);
    });

    it('a commit whose answer was lost, even that of the manifest', async () => {
      const bench = await pushBench();
      for (const after of [0, 2]) {
        bench.hub.fail({ match: COMMIT, fault: { kind: 'cut', afterBytes: 3 }, after });
      }
      const events = await bench.push();
      await expectPushed(bench);
      expect(events.at(-1)).toMatchObject({ kind: 'done' });
      expect(bench.clock.sleeps).toHaveLength(2);
    });

    it('an upload that stalls, and takes back what it had counted', async () => {
      const bench = await pushBench({}, SHAPE, new VirtualClock(1000));
      bench.hub.fail({ match: UPLOAD, fault: { kind: 'stall', afterBytes: -1 } });
      const events = await bench.push();
      await expectPushed(bench);
      const done = events.flatMap((event) => (event.kind === 'uploading' ? [event.doneBytes] : []));
      expect(Math.max(...done)).toBe(done.at(-1));
    });
  });

  describe('refuses in one line', () => {
    const lineOf = async (promise: Promise<unknown>): Promise<{ code: string; message: string }> => {
      const error = await rejectionOf(promise);
      expect(error.message).not.toContain('\n');
      return error;
    };

    it('a token that is missing, wrong, or may only read', async () => {
      const { hub, folder, clock } = await pushBench();
      const writerOf = (token: string | undefined) =>
        createHubWriter({ endpoint: hub.endpoint, token }, clock.tuning);
      expect(() => writerOf(undefined)).toThrow(
        /^HF_TOKEN is not set; make a token with write permission at http/,
      );
      const planWith = async (token: string) => {
        return planPush({ folder, repository: REPOSITORY, branch: 'main', hub: writerOf(token) });
      };
      expect(await lineOf(planWith('hf_unknown'))).toMatchObject({
        code: 'forbidden',
        message: expect.stringMatching(
          /^HF_TOKEN is not valid \(the Hub answered 401: Invalid cred.*make a new one/,
        ) as string,
      });
      expect(await lineOf(planWith('hf_reads'))).toMatchObject({
        code: 'forbidden',
        message: expect.stringMatching(
          /^HF_TOKEN of ben may only read; make one with write permission/,
        ) as string,
      });
    });

    it('an organisation that is not there or not the account’s, before anything is uploaded', async () => {
      const bench = await pushBench();
      const error = await lineOf(bench.push({ repository: 'nobody/words' }));
      expect(error.code).toBe('forbidden');
      expect(error.message).toMatch(
        /^cannot create dataset nobody\/words \(the Hub answered 403: .*\); check that nobody is your account/,
      );
      expect(uploads(bench)).toEqual([]);
    });

    it('a repository that the token may only read', async () => {
      const bench = await pushBench({
        repositories: [{ name: 'theirs/words', revisions: { main: { '.gitattributes': '' } } }],
      });
      const error = await lineOf(bench.push({ repository: 'theirs/words' }));
      expect(error).toMatchObject({ code: 'forbidden' });
      expect(error.message).toMatch(
        /^HF_TOKEN may not write to dataset theirs\/words \(the Hub answered 403/,
      );
    });

    it('a public repository with --private, and leaves a private one private', async () => {
      const bench = await pushBench({
        repositories: [
          { name: 'team/open', revisions: { main: {} } },
          { name: 'team/shut', revisions: { main: {} }, access: 'private', allowed: ['hf_writes'] },
        ],
      });
      const error = await lineOf(bench.plan({ repository: 'team/open', visibility: 'private' }));
      expect(error.message).toMatch(/^team\/open is public, --private was given; make it private at http/);
      const plan = await bench.plan({ repository: 'team/shut', visibility: 'public' });
      expect(plan.notes[0]).toMatch(/^team\/shut is private and stays so/);
      await push(plan, () => undefined);
      expect(bench.hub.isPrivate('team/shut')).toBe(true);
      expect((await bench.plan({ repository: 'team/open' })).visibility).toBe('public');
    });

    it('a repository of other things, a commit for a branch, a dataset that is on the Hub already', async () => {
      const bench = await pushBench({
        repositories: [
          { name: 'team/texts', revisions: { main: { 'data/a.parquet': 'x', 'README.md': '' } } },
        ],
      });
      expect((await lineOf(bench.plan({ repository: 'team/texts' }))).message).toBe(
        'team/texts holds other files (data/a.parquet); choose a new name, or a branch of its own with --revision',
      );
      expect((await lineOf(bench.plan({ branch: 'a'.repeat(40) }))).message).toContain('expected a branch');
      expect((await lineOf(bench.plan({ folder: 'hub:team/words' }))).message).toContain(
        'expected the folder of a prepared dataset',
      );
    });

    it('a damaged shard, before anything is changed', async () => {
      const bench = await pushBench();
      const path = join(bench.folder, 'train/00001.parquet');
      const bytes = await readFile(path);
      bytes[200]! ^= 4;
      await writeFile(path, bytes);
      const error = await lineOf(bench.push());
      expect(error).toMatchObject({ code: 'corrupt' });
      expect(error.message).toMatch(
        /train\/00001\.parquet is damaged \(at byte \d+, row group 0: .*nothing was uploaded$/,
      );
      expect(await bench.hub.filesOf(REPOSITORY)).toBeUndefined();
    });
  });
});

describe('names of repositories', () => {
  it.each(['org/name', 'a/b', 'Org-1/wiki.books_256', 'org/_x'])('%s is one', (name) => {
    expect(checkRepositoryName(name)).toBe(name);
  });

  it.each([
    '',
    'name',
    'org/',
    '/name',
    'a/b/c',
    'org/na me',
    'org/a--b',
    'org/a..b',
    'org/a.git',
    'org/a-',
    `org/${'x'.repeat(97)}`,
    'hub:org/name',
  ])('"%s" is none', (name) => {
    expect(() => checkRepositoryName(name)).toThrow(/is not the name of a repository; expected org\/name/);
  });
});

describe('commits', () => {
  it('hold all files in order, and are bounded in number and size', () => {
    const files = [3, 3, 3, 9, 20, 1, 1, 1, 1].map(
      (sizeBytes, i) => ({ sizeBytes, path: `${i}` }) as LocalFile,
    );
    const commits = commitsOfFiles(files, 3, 10).map((commit) => commit.map(({ path }) => path).join(''));
    expect(commits).toEqual(['012', '3', '4', '567', '8']);
  });
});
