import { appendFile, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lastValueFrom, takeWhile, tap, toArray } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createPrepareConfig,
  DEFAULT_TOKENIZER,
  type PrepareConfig,
  type PrepareInput,
} from '../../pipeline/config.ts';
import { TacoError } from '../../pipeline/errors.ts';
import { type PrepareEvent, type PrepareOptions, prepare } from '../../pipeline/prepare.ts';
import { commitsOf } from '../../pipeline/shards/check.ts';
import { lockFolder } from '../../pipeline/shards/lock.ts';
import {
  type Manifest,
  type ManifestShard,
  readManifest,
  writeManifest,
} from '../../pipeline/shards/manifest.ts';
import { filesBelow, hashesBelow, temporaryFolder } from '../support/folders.ts';
import { makeTexts, writeJsonLines, writeVocabulary } from '../support/texts.ts';

const offline: PrepareOptions = {
  sources: {},
  tokenizers: {
    fetchHubFile: () => Promise.reject(new Error('no network in this test')),
  },
};

let home = '';
/** Files of an uninterrupted run of `configIn(home)`. */
let whole: Record<string, string> = {};

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'taco-prepare-'));
  await writeVocabulary(join(home, 'letters.txt'));
  await writeJsonLines(join(home, 'texts.jsonl'), makeTexts({ documents: 900 }));
  const config = configIn(home);
  await runToEnd(config);
  whole = await hashesBelow(config.out);
});

afterAll(async () => {
  await rm(home, { recursive: true, force: true });
});

/** What the totals of a manifest with these shards alone may say; those of chunks are left as they are. */
function addUp(shards: readonly ManifestShard[], { totals }: Manifest): Manifest['totals'] {
  const rows = (split: string): number =>
    shards.filter((shard) => shard.split === split).reduce((sum, shard) => sum + shard.rows, 0);
  return { ...totals, trainRows: rows('train'), validationRows: rows('validation') };
}

let numWorkplaces = 0;

/** The common source and settings for many small shards, into a folder that nobody else uses. */
function workplace(input: PrepareInput = {}): PrepareConfig {
  numWorkplaces += 1;
  return configIn(home, { out: join(home, `out-${numWorkplaces}`), ...input });
}

/** A source of its own as well. */
async function ownWorkplace(input: PrepareInput = {}): Promise<{ folder: string; config: PrepareConfig }> {
  const folder = await temporaryFolder();
  await writeJsonLines(join(folder, 'texts.jsonl'), makeTexts({ documents: 400 }));
  return { folder, config: configIn(folder, { rowsPerShard: 64, ...input }) };
}

function configIn(folder: string, input: PrepareInput = {}): PrepareConfig {
  return createPrepareConfig({
    sources: [`file:${join(folder, 'texts.jsonl')}`],
    tokenizer: join(home, 'letters.txt'),
    maxSeqLen: 64,
    validation: '10%',
    rowsPerShard: 512,
    workers: 0,
    out: join(folder, 'out'),
    ...input,
  });
}

async function runToEnd(config: PrepareConfig, options: PrepareOptions = offline): Promise<PrepareEvent[]> {
  return lastValueFrom(prepare(config, options).pipe(toArray()), { defaultValue: [] });
}

/** Stops a run by signal when it has given its n-th event of a type. */
async function stopAt(
  config: PrepareConfig,
  type: PrepareEvent['type'],
  count: number,
): Promise<PrepareEvent[]> {
  const abort = new AbortController();
  let seen = 0;
  const events = prepare(config, { ...offline, signal: abort.signal }).pipe(
    tap((event) => {
      if (event.type === type) seen += 1;
      if (seen === count) abort.abort();
    }),
    toArray(),
  );
  return lastValueFrom(events, { defaultValue: [] });
}

describe('a prepared dataset', () => {
  it('has the same bytes with any number of workers', async () => {
    expect(Object.keys(whole).filter((name) => name.endsWith('.parquet')).length).toBeGreaterThan(8);
    for (const workers of [1, 2, 3]) {
      const config = workplace({ workers });
      await runToEnd(config);
      expect(await hashesBelow(config.out)).toEqual(whole);
    }
  });

  it('tells what happens, in order, and what there is in the end', async () => {
    const config = workplace();
    const events = await runToEnd(config);
    const types = events.map((event) => event.type);
    expect(types[0]).toBe('planned');
    expect(types.at(-1)).toBe('done');
    expect(types.filter((type) => type === 'committed').length).toBeGreaterThan(3);
    const manifest = await readManifest(config.out);
    expect(events.at(-1)).toMatchObject({ type: 'done', manifest, wasComplete: false });
    expect(manifest?.totals.documents).toBeGreaterThan(850);
    const rows = (split: string) =>
      manifest?.shards.filter((shard) => shard.split === split).reduce((sum, shard) => sum + shard.rows, 0);
    expect(manifest?.totals).toMatchObject({ trainRows: rows('train'), validationRows: rows('validation') });
    expect(manifest?.totals.validationRows).toBeGreaterThan(50);
    const last = events.findLast((event) => event.type === 'progress');
    expect(last?.progress.sources.length).toBe(manifest?.sources.length);
    for (const source of last?.progress.sources ?? []) {
      expect(source.inputBytes).toBe(source.totalInputBytes);
      expect(source.documents).toBeGreaterThan(0);
    }
  });

  it('is left alone when it is complete, and made whole when it is damaged', async () => {
    const { config } = await ownWorkplace();
    await runToEnd(config);
    const expected = await hashesBelow(config.out);
    const again = await runToEnd(config);
    expect(again.at(-1)).toMatchObject({ type: 'done', wasComplete: true });
    expect(again.some((event) => event.type === 'progress' || event.type === 'repairing')).toBe(false);

    await appendFile(join(config.out, 'train/00001.parquet'), 'x');
    await rm(join(config.out, 'validation/00002.parquet'));
    await rm(join(config.out, 'vocab.txt'));
    const repair = await runToEnd(config);
    expect(repair.filter((event) => event.type === 'repairing')).toMatchObject([
      { file: 'train/00001.parquet' },
      { file: 'validation/00002.parquet', damage: 'missing' },
    ]);
    expect(await hashesBelow(config.out)).toEqual(expected);
  });
});

describe('an interrupted preparation', () => {
  it.each([
    ['before anything', 'planned', 1],
    ['at the first chunk', 'progress', 1],
    ['at the first commit', 'committed', 1],
    ['at a later commit', 'committed', 4],
  ] as const)('%s continues to the same bytes', async (_when, type, count) => {
    const config = workplace();
    const events = await stopAt(config, type, count);
    expect(events.at(-1)?.type).toBe('stopped');
    expect([...(await filesBelow(config.out)).keys()].filter((name) => /tmp|lock/.test(name))).toEqual([]);
    const rest = await runToEnd(createPrepareConfig({ ...config, workers: 1 }));
    expect(rest.at(-1)).toMatchObject({ type: 'done', wasComplete: false });
    expect(await hashesBelow(config.out)).toEqual(whole);
  });

  it('can be interrupted again and again', async () => {
    const config = workplace();
    let runs = 0;
    for (let isDone = false; !isDone; runs += 1) {
      isDone = (await stopAt(config, 'committed', 2)).at(-1)?.type === 'done';
    }
    expect(runs).toBeGreaterThan(2);
    expect(await hashesBelow(config.out)).toEqual(whole);
  });

  it('continues from every state that a crash can leave between two commits', async () => {
    const config = workplace();
    await runToEnd(config);
    const manifest = (await readManifest(config.out))!;
    const commits = commitsOf(manifest);
    expect(commits.length).toBeGreaterThan(3);
    for (const kept of [0, 1, commits.length - 1, commits.length]) {
      // All files are there, the manifest knows only the first: killed after the renames, before the manifest.
      const shards = commits.slice(0, kept).flatMap((commit) => commit.shards);
      const totals = addUp(shards, manifest);
      await writeManifest(config.out, { ...manifest, status: 'running', shards, totals });
      // Whatever else was being written.
      await writeFile(join(config.out, 'train', '.tmp-00003.parquet'), 'PAR1 half of a sh');
      await writeFile(join(config.out, '.tmp-manifest.json'), '{"checks');
      await rm(join(config.out, 'tokenizer.json'));
      const events = await runToEnd(config);
      expect(events.at(-1)).toMatchObject({ type: 'done', wasComplete: false });
      const after = await hashesBelow(config.out);
      expect({ ...after, 'manifest.json': '' }).toEqual({ ...whole, 'manifest.json': '' });
    }
  });

  it('stops when nobody listens any more, and gives the folder back', async () => {
    const config = workplace({ workers: 1 });
    const events = prepare(config, offline).pipe(takeWhile((event) => event.type !== 'committed'));
    await lastValueFrom(events, { defaultValue: undefined });
    const lock = await waitForLock(config.out);
    const manifest = await readManifest(config.out);
    expect(manifest?.status).toBe('running');
    await lock.release();
    expect((await runToEnd(config)).at(-1)?.type).toBe('done');
    expect(await hashesBelow(config.out)).toEqual(whole);
  });

  it('is refused while another works on the folder, by the name of its process', async () => {
    const { config } = await ownWorkplace();
    // Which of the two comes first is the file system's choice; one works, the other is refused.
    const runs = await Promise.allSettled([runToEnd(config), runToEnd(config)]);
    const [done, ...others] = runs.flatMap((run) => (run.status === 'fulfilled' ? [run.value] : []));
    expect(others).toEqual([]);
    expect(done?.at(-1)?.type).toBe('done');
    expect(runs.find((run) => run.status === 'rejected')?.reason).toMatchObject({
      code: 'locked',
      message: expect.stringContaining(`process ${process.pid}`) as string,
    });
  });
});

async function waitForLock(folder: string): ReturnType<typeof lockFolder> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    try {
      return await lockFolder(folder);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  throw new Error('the lock was not released');
}

describe('another configuration', () => {
  let begun: PrepareConfig;
  let before: Record<string, string>;

  beforeAll(async () => {
    begun = workplace();
    await stopAt(begun, 'committed', 1);
    before = await hashesBelow(begun.out);
  });

  it.each([
    [{ maxSeqLen: 32 }, '--max-seq-len 64', '--max-seq-len 32'],
    [{ packing: 'documents' }, '--packing concat', '--packing documents'],
    [{ remainder: 'drop' }, '--remainder pad', '--remainder drop'],
    [{ validation: '5%' }, '--validation 0.1', '--validation 0.05'],
    [{ seed: 1 }, '--seed 42', '--seed 1'],
    [{ rowsPerShard: 1024 }, '--rows-per-shard 512', '--rows-per-shard 1024'],
    [{ sources: ['sample'] }, '--source file:', '--source sample'],
  ] as const)('%o is refused with both values', async (change, was, is) => {
    const error = await runToEnd(configIn(home, { out: begun.out, ...change })).catch(
      (caught: unknown) => caught,
    );
    expect(error).toMatchObject({ code: 'mismatch' });
    expect((error as Error).message).toContain(was);
    expect((error as Error).message).toContain(is);
    expect(await hashesBelow(begun.out)).toEqual(before);
  });

  it('of the tokenizer is refused with both values', async () => {
    const vocabulary = join(await temporaryFolder(), 'vocab.txt');
    await writeFile(vocabulary, ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'b'].join('\n'));
    await expect(runToEnd(configIn(home, { out: begun.out, tokenizer: vocabulary }))).rejects.toMatchObject({
      code: 'mismatch',
      message: expect.stringMatching(/--tokenizer .*letters\.txt .*--tokenizer .*vocab\.txt/) as string,
    });
    expect(await hashesBelow(begun.out)).toEqual(before);
  });

  it('of the input, changed in its place, is refused with both digests', async () => {
    const { folder, config } = await ownWorkplace();
    await stopAt(config, 'committed', 1);
    await appendFile(join(folder, 'texts.jsonl'), '{"text":"one more"}\n');
    await expect(runToEnd(config)).rejects.toMatchObject({
      code: 'mismatch',
      message: expect.stringMatching(/texts\.jsonl, \d+ bytes.*texts\.jsonl, \d+ bytes/) as string,
    });
  });

  it('replaces a plan that failed before its first shard', async () => {
    const { config } = await ownWorkplace();
    await stopAt(config, 'planned', 1);
    expect((await readManifest(config.out))?.shards).toEqual([]);
    const other = createPrepareConfig({ ...config, maxSeqLen: 32, validation: '0.05' });
    const last = (await runToEnd(other)).at(-1);
    expect(last).toMatchObject({ type: 'done', manifest: { settings: { maxSeqLen: 32, validation: 0.05 } } });
    const fresh = createPrepareConfig({ ...other, out: `${config.out}-fresh`, validation: '0.05' });
    await runToEnd(fresh);
    expect(await hashesBelow(config.out)).toEqual(await hashesBelow(fresh.out));
  });

  it('may say the same in other words', async () => {
    const { config } = await ownWorkplace();
    await stopAt(config, 'committed', 1);
    const other = createPrepareConfig({ ...config, validation: '0.1', workers: 2 });
    expect((await runToEnd(other)).at(-1)?.type).toBe('done');
  });
});

describe('a failure', () => {
  it('leaves no folder, no temporary file and no lock behind', async () => {
    const missing = workplace({ sources: [`file:${join(home, 'nowhere.jsonl')}`] });
    await expect(runToEnd(missing)).rejects.toMatchObject({ code: 'not-found' });
    await expect(stat(missing.out)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('of the disk is reported, and the run continues when it is mended', async () => {
    const config = workplace();
    await stopAt(config, 'committed', 1);
    // A folder lies where the next shard goes.
    const obstacle = join(config.out, 'train', '00001.parquet');
    await mkdir(join(obstacle, 'x'), { recursive: true });
    await expect(runToEnd(config)).rejects.toMatchObject({ code: 'disk' });
    await rm(obstacle, { recursive: true });
    await runToEnd(config);
    expect(await hashesBelow(config.out)).toEqual(whole);
  });

  it('of a damaged manifest says so and touches nothing', async () => {
    const { config } = await ownWorkplace();
    await stopAt(config, 'committed', 2);
    await writeFile(join(config.out, 'manifest.json'), '{}');
    const before = await hashesBelow(config.out);
    await expect(runToEnd(config)).rejects.toMatchObject({ stage: 'shards' });
    expect(await hashesBelow(config.out)).toEqual(before);
  });

  it('of a folder with other files says so and touches nothing', async () => {
    const { folder } = await ownWorkplace();
    await expect(runToEnd(configIn(folder, { out: folder }))).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining('texts.jsonl') as string,
    });
    expect([...(await filesBelow(folder)).keys()]).toEqual(['texts.jsonl']);
  });

  it('to reach the Hub for the default tokenizer is none: the package has it', async () => {
    const notes: string[] = [];
    const unreachable = new TacoError('cannot reach the Hub', { code: 'network', stage: 'source' });
    const events = await runToEnd(workplace({ tokenizer: DEFAULT_TOKENIZER }), {
      sources: {},
      tokenizers: { fetchHubFile: () => Promise.reject(unreachable) },
      onNote: (text) => notes.push(text),
    });
    expect(events.at(-1)?.type).toBe('done');
    expect(notes).toEqual([expect.stringContaining('cannot be fetched')]);
    await expect(
      runToEnd(workplace({ tokenizer: 'google-bert/bert-base-cased' }), {
        sources: {},
        tokenizers: { fetchHubFile: () => Promise.reject(unreachable) },
      }),
    ).rejects.toBe(unreachable);
  });

  it('of too little text says how little', async () => {
    const { folder } = await ownWorkplace();
    await writeJsonLines(join(folder, 'texts.jsonl'), ['three little words']);
    const config = configIn(folder, { remainder: 'drop', validation: 0 });
    await expect(runToEnd(config)).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining('1 documents with 18 tokens') as string,
    });
  });
});
