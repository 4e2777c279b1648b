import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { evaluationBatches } from '../../../pipeline/evaluation-batches.ts';
import { type Mixture, openMixture } from '../../../pipeline/mixture.ts';
import { openDataset } from '../../../pipeline/shards/dataset.ts';
import { serializeManifest } from '../../../pipeline/shards/manifest.ts';
import { TrainingRows } from '../../../pipeline/training-rows.ts';
import type { Batch } from '../../../pipeline/types.ts';
import { takeBatches } from '../../support/batch-stream.ts';
import type { DatasetShape } from '../../support/dataset.ts';
import type { WaitNotice } from '../../../pipeline/sources/source.ts';
import type { Fault } from '../../support/hub/faults.ts';
import type { TestHubOptions } from '../../support/hub/server.ts';
import { type PushBench, pushBench, REPOSITORY, TOKEN } from '../../support/pushed-dataset.ts';
import { rejectionOf, VirtualClock } from '../../support/sources.ts';

/** Shards of several times what a footer's read takes. */
const LARGE: Partial<DatasetShape> = {
  maxSeqLen: 128,
  rowsPerGroup: 64,
  train: [640, 640, 200],
  validation: [100, 30],
};
const STORAGE = /^GET \/xet-bridge\//;

async function pushed(
  options: TestHubOptions = {},
  shape: Partial<DatasetShape> = LARGE,
  clock = new VirtualClock(),
): Promise<PushBench> {
  const bench = await pushBench(options, shape, clock);
  await bench.push();
  bench.hub.resetLog();
  bench.clock.sleeps.length = 0;
  return bench;
}

afterEach(() => {
  vi.unstubAllEnvs();
});

/** What the command line has. */
function stubEnvironment({ hub }: PushBench): void {
  vi.stubEnv('HF_ENDPOINT', hub.endpoint);
  vi.stubEnv('HF_TOKEN', TOKEN);
}

/** Rows at 80 positions of an order. */
async function eighty(rows: TrainingRows, position: number): Promise<Int32Array> {
  const ids = new Int32Array(80 * 128);
  await rows.read(
    position,
    ids,
    Array.from({ length: 80 }, (_, slot) => slot),
  );
  return ids;
}

async function evaluated(mixture: Mixture): Promise<Batch[]> {
  const all: Batch[] = [];
  const options = { batchSize: 8, seed: 3, maxRows: 60, taco: { numNegatives: 4 } };
  for await (const batch of evaluationBatches({ ...options, mixture })) all.push(batch);
  return all;
}

describe('a dataset on the Hub', () => {
  it('gives the very batches of its folder, in the worker thread and out of it', async () => {
    const bench = await pushed({}, {});
    stubEnvironment(bench);
    const options = { batchSize: 4, seed: 42, taco: { numNegatives: 3 } };
    const local = await takeBatches({ ...options, data: [bench.folder] }, 25);
    const remote = await takeBatches({ ...options, data: [`hub:${REPOSITORY}`] }, 25);
    expect(remote).toEqual(local);
    const inThread = await takeBatches({ ...options, data: [`hub:${REPOSITORY}@main`], worker: true }, 25);
    expect(inThread).toEqual(local);
    // A run may move from one to the other.
    const { cursor } = local[9]!;
    const onwards = await takeBatches({ ...options, cursor, data: [`hub:${REPOSITORY}`] }, 15);
    expect(onwards).toEqual(local.slice(10));
    expect(await evaluated(await openMixture([`hub:${REPOSITORY}`]))).toEqual(
      await evaluated(await openMixture([bench.folder])),
    );
  });

  it('reads footers once and row groups once while they are held, by ranges alone', async () => {
    const bench = await pushed();
    const dataset = await bench.open();
    expect(bench.hub.requests.map(({ url }) => url.split('?')[0])).toEqual([
      expect.stringMatching(/\/revision\/main$/),
      expect.stringMatching(/\/resolve\/[0-9a-f]{40}\/manifest\.json$/),
      expect.stringMatching(/\/api\/resolve-cache\/.*manifest\.json$/),
      expect.stringMatching(/\/api\/resolve-cache\/.*manifest\.json$/),
      expect.stringMatching(/\/tree\/[0-9a-f]{40}$/),
    ]);
    bench.hub.resetLog();
    const rows = new TrainingRows(dataset, 42);
    const local = new TrainingRows(await openDataset(bench.folder), 42);
    // Two epochs: all row groups are one window.
    for (let position = 0; position < 2960; position += 80) {
      expect(await eighty(rows, position)).toEqual(await eighty(local, position));
    }
    const ranges = bench.hub.requests
      .filter(({ route }) => route === 'cdn')
      .map(({ url, range }) => `${url} ${range ?? 'whole'}`);
    expect(ranges).toHaveLength(3 + dataset.numGroups('train'));
    expect(new Set(ranges).size).toBe(ranges.length);
    const shardBytes = dataset.shards
      .filter(({ shard }) => shard.split === 'train')
      .reduce((sum, { shard }) => sum + shard.bytes, 0);
    expect(bench.hub.bytesSent()).toBeLessThan(shardBytes + 3 * (64 * 1024) + 10_000);
    expect(bench.clock.sleeps).toEqual([]);
  });

  it('is evaluated again without being looked up again', async () => {
    const bench = await pushed();
    stubEnvironment(bench);
    const mixture = await openMixture([`hub:${REPOSITORY}`]);
    const first = await evaluated(mixture);
    bench.hub.resetLog();
    expect(await evaluated(mixture)).toEqual(first);
    const { requests } = bench.hub;
    expect(requests.map(({ route }) => route)).toEqual(requests.map(() => 'cdn'));
    // Row groups alone: the footers are known.
    expect(requests).toHaveLength(mixture.parts[0]!.dataset.numGroups('validation'));
    expect(await evaluated(await openMixture([bench.folder]))).toEqual(first);
  });

  it('lists a page of files a request, and none for a commit', async () => {
    const bench = await pushed({ pageSize: 4 });
    const { reference } = await bench.open();
    expect(reference).toMatch(/^hub:team\/words@[0-9a-f]{40}$/);
    const numListings = bench.hub.requests.filter(({ url }) => url.includes('/tree/')).length;
    // Five shards, two folders, tokenizer, card, manifest, .gitattributes.
    expect(numListings).toBe(4);
    bench.hub.resetLog();
    expect((await bench.open(reference)).reference).toBe(reference);
    expect(bench.hub.requests.filter(({ url }) => url.includes('/revision/'))).toEqual([]);
  });

  it('stays what it was when its branch moves', async () => {
    const bench = await pushed();
    const dataset = await bench.open();
    const first = await dataset.readGroup('train', 0);
    bench.hub.commit(REPOSITORY, 'main', { 'README.md': 'all gone' });
    const local = await openDataset(bench.folder);
    expect(first).toEqual(await local.readGroup('train', 0));
    expect(await dataset.readGroup('train', 22)).toEqual(await local.readGroup('train', 22));
    expect(await dataset.readTokenizer()).toEqual(await local.readTokenizer());
    const again = await bench.open(dataset.reference);
    expect(again.fingerprint).toBe(local.fingerprint);
    await expect(bench.open()).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringMatching(
        /^there is no dataset in hub:team\/words@[0-9a-f]{40} \(manifest\.json is missing\); push one with/,
      ) as string,
    });
  });

  it('tells whoever takes batches of waits, in the worker thread and out of it', async () => {
    const bench = await pushed({}, {});
    stubEnvironment(bench);
    const options = { batchSize: 4, seed: 42, data: [`hub:${REPOSITORY}`] };
    const quiet = await takeBatches({ ...options, data: [bench.folder] }, 3);
    for (const worker of [true, false]) {
      bench.hub.fail({ match: STORAGE, fault: { kind: 'status', status: 503 }, after: 1 });
      bench.hub.fail({ match: /\/revision\//, fault: { kind: 'status', status: 503 } });
      const notices: WaitNotice[] = [];
      const onWait = (notice: WaitNotice): void => void notices.push(notice);
      expect(await takeBatches({ ...options, worker, onWait }, 3)).toEqual(quiet);
      expect(notices.map(({ reason }) => reason)).toEqual(['retry', 'retry']);
      for (const { message, waitMs } of notices) {
        expect(message).toMatch(/status 503, try 2 of 10 in 0\.\d s$/);
        expect(waitMs).toBeGreaterThan(0);
      }
    }
  });

  it.each<[string, Fault]>([
    ['503', { kind: 'status', status: 503 }],
    ['429', { kind: 'status', status: 429, headers: { RateLimit: '"resolvers";r=0;t=42' } }],
    ['a reset connection', { kind: 'reset' }],
    ['a body cut off', { kind: 'cut', afterBytes: 20 }],
    ['a short body', { kind: 'short', bytes: 20 }],
    ['the whole file for a range', { kind: 'ignore-range' }],
    ['another range', { kind: 'shift-range', by: 1 }],
    ['a stalled body', { kind: 'stall', afterBytes: 20 }],
  ])('survives %s, in opening and in reading', async (name, fault) => {
    const clock = new VirtualClock(name === 'a stalled body' ? 1000 : undefined);
    const bench = await pushed({}, LARGE, clock);
    const isOfRange = fault.kind === 'ignore-range' || fault.kind === 'shift-range';
    const opening = isOfRange ? [] : [/\/revision\//, /resolve-cache/, /\/tree\//];
    // Small files are asked for their first byte, then for all of it.
    for (const match of opening)
      bench.hub.fail({ match, fault, after: match.source === 'resolve-cache' ? 1 : 0 });
    const dataset = await bench.open();
    expect(clock.sleeps).toHaveLength(opening.length);
    // A footer, and a row group.
    bench.hub.fail({ match: STORAGE, fault });
    bench.hub.fail({ match: STORAGE, fault, after: 3 });
    const local = await openDataset(bench.folder);
    for (const group of [0, 1, 2, 3]) {
      expect(await dataset.readGroup('train', group)).toEqual(await local.readGroup('train', group));
    }
    expect(clock.sleeps).toHaveLength(opening.length + 2);
  });

  describe('with a bit flipped', () => {
    /** A byte of a shard's answers is another one, so many times. */
    async function openSpoilt(place: 'footer' | 'group', times: number) {
      const bench = await pushed();
      const dataset = await bench.open();
      const spoilt = { left: times };
      const [{ reader }] = dataset.shards as [(typeof dataset.shards)[number]];
      const { start } = await (await openDataset(bench.folder)).shards[0]!.reader.rangeOf(3);
      const original = bench.client.openFile.bind(bench.client);
      expect(reader).toBeDefined();
      vi.spyOn(bench.client, 'openFile').mockImplementation((repository, commit, file) => {
        const opened = original(repository, commit, file);
        return {
          ...opened,
          async read(from, to) {
            const bytes = await opened.read(from, to);
            const isFooter = to === file.sizeBytes;
            const isStruck = place === 'footer' ? isFooter : from === start;
            if (isStruck && spoilt.left > 0) {
              spoilt.left -= 1;
              bytes[bytes.length - (isFooter ? 20 : 1)]! ^= 0x10;
            }
            return bytes;
          },
        };
      });
      return { bench, dataset: await bench.open(), spoilt, start };
    }

    it.each(['footer', 'group'] as const)('once on the way, in a %s, is fetched once more', async (place) => {
      const { bench, dataset, spoilt } = await openSpoilt(place, 1);
      const local = await openDataset(bench.folder);
      expect(await dataset.readGroup('train', 3)).toEqual(await local.readGroup('train', 3));
      expect(spoilt.left).toBe(0);
    });

    it('again and again, is an error that names file and offset', async () => {
      const { dataset, spoilt, start } = await openSpoilt('group', 5);
      const error = await rejectionOf(dataset.readGroup('train', 3));
      expect(error.code).toBe('corrupt');
      expect(error.message).toMatch(
        /^train\/00000\.parquet of hub:team\/words@[0-9a-f]{40} is damaged at byte \d+, row group 3: its checksum differs; push the dataset again/,
      );
      const place = Number(/at byte (\d+)/.exec(error.message)![1]);
      expect(place).toBeGreaterThanOrEqual(start);
      expect(spoilt.left).toBe(3);
    });
  });

  describe('is refused in one line', () => {
    it('with a shard of another size or hash, or one missing, before any is read', async () => {
      const bench = await pushed();
      const files = Object.fromEntries((await bench.hub.filesOf(REPOSITORY))!);
      const shard = files['train/00001.parquet']!;
      const changed = Buffer.from(shard);
      changed[500]! ^= 1;
      const cases: [Record<string, Buffer>, RegExp][] = [
        [
          { 'train/00001.parquet': shard.subarray(1) },
          /train\/00001\.parquet of hub:.* is damaged \(\d+ bytes, expected \d+\); push/,
        ],
        [
          { 'train/00001.parquet': changed },
          /is damaged \(sha256 [0-9a-f]{64}, expected [0-9a-f]{64}\); push/,
        ],
      ];
      for (const [change, message] of cases) {
        bench.hub.commit(REPOSITORY, 'main', { ...files, ...change });
        bench.hub.resetLog();
        expect((await rejectionOf(bench.open())).message).toMatch(message);
        expect(bench.hub.count('cdn')).toBe(0);
      }
      delete files['validation/00000.parquet'];
      bench.hub.commit(REPOSITORY, 'main', files);
      expect(await rejectionOf(bench.open())).toMatchObject({
        code: 'not-found',
        message: expect.stringContaining('is missing, the manifest lists it; push') as string,
      });
    });

    it('unfinished, or with another tokenizer', async () => {
      const bench = await pushed();
      const files = Object.fromEntries((await bench.hub.filesOf(REPOSITORY))!);
      const { manifest } = await openDataset(bench.folder);
      const running = serializeManifest({ ...manifest, status: 'running' });
      bench.hub.commit(REPOSITORY, 'main', { ...files, 'manifest.json': running });
      expect((await rejectionOf(bench.open())).message).toMatch(/^the dataset in hub:team.* is not complete/);
      const json = (await readFile(join(bench.folder, 'tokenizer.json'), 'utf8')).replace('word7"', 'wordx"');
      bench.hub.commit(REPOSITORY, 'main', { ...files, 'tokenizer.json': json });
      const dataset = await bench.open();
      expect((await rejectionOf(dataset.readTokenizer())).message).toMatch(
        /^the tokenizer in hub:team\/words@.* is not the one that its rows were made with; push/,
      );
    });

    it.each([
      ['hub:words', 'bad-config', /^hub:words is no prepared dataset; expected a folder, or hub:org\/name/],
      ['hub:team/words@', 'bad-config', /expected a folder, or hub:org\/name\[@revision\]/],
      ['hub:team/nothing', 'not-found', /^dataset team\/nothing does not exist or is private/],
      ['hub:team/words@v9', 'not-found', /^dataset team\/words has no revision v9/],
    ])('%s', async (reference, code, message) => {
      const bench = await pushed({}, {});
      const error = await rejectionOf(bench.open(reference));
      expect(error.code).toBe(code);
      expect(error.message).toMatch(message);
    });
  });
});
