import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../pipeline/random.ts';
import { commitsOf, damageOf, removeLeftovers } from '../../../pipeline/shards/check.ts';
import { ShardCommitter } from '../../../pipeline/shards/committer.ts';
import type { Commit, FullShards } from '../../../pipeline/shards/full-shards.ts';
import type { DatasetSettings, ManifestShard, PrepareCursor } from '../../../pipeline/shards/manifest.ts';
import { SeenDocuments } from '../../../pipeline/shards/seen-documents.ts';
import { addTotals, noTotals } from '../../../pipeline/shards/totals.ts';
import { noStageTimes } from '../../../pipeline/stage-times.ts';
import type { TokenChunk } from '../../../pipeline/types.ts';
import { chunkOf, type TestDocument } from '../../support/documents.ts';
import { filesBelow, temporaryFolder } from '../../support/folders.ts';
import { cursorAt, manifestWith } from '../../support/manifests.ts';
import { encoder } from '../../support/shards.ts';

const specialTokenIds = { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 };
const services = { specialTokenIds, encoder, times: noStageTimes() };
const start = cursorAt(0);

function settingsWith(changes: Partial<DatasetSettings> = {}): DatasetSettings {
  return { ...manifestWith().settings, validation: 0.3, rowsPerShard: 32, rowsPerGroup: 8, ...changes };
}

/** Documents in chunks; chunk i goes from row i to row i + 1 of the only source. */
function randomChunks(count: number, seed = 7): TokenChunk[] {
  const random = new Random(seed);
  return Array.from({ length: count }, (_, index) => {
    const documents = Array.from(
      { length: random.below(12) },
      (): TestDocument => Array.from({ length: random.below(30) }, () => 5 + random.below(900)),
    );
    return chunkOf(documents, {
      ...settingsWith(),
      hasHashes: true,
      at: cursorAt(index).input,
      next: cursorAt(index + 1).input,
    });
  });
}

interface Run {
  readonly folder: string;
  readonly settings: DatasetSettings;
  readonly chunks: readonly TokenChunk[];
  readonly from?: PrepareCursor;
  readonly done?: readonly ManifestShard[];
  /** Stop after so many commits, as if killed. */
  readonly stopAfter?: number;
}

async function run(options: Run): Promise<Commit[]> {
  const { folder, settings, chunks, from = start, done = [], stopAfter } = options;
  const nextShard = { train: 0, validation: 0 };
  for (const { split } of done) nextShard[split] += 1;
  const committer = new ShardCommitter({ ...services, folder, settings, start: from, nextShard });
  const commits: Commit[] = [];
  try {
    for (const chunk of chunks.slice(from.input.sources[0]!.row)) {
      for await (const full of committer.take(chunk)) {
        commits.push(await full.commit());
        if (commits.length === stopAfter) return commits;
      }
    }
    commits.push(await (await committer.finish()).commit());
    return commits;
  } finally {
    await committer.discard();
  }
}

describe.each(['concat', 'documents'] as const)('shards of %s rows', (packing) => {
  const settings = settingsWith({ packing });
  const chunks = randomChunks(40);

  it('are full but the last, in row groups that are full but the last', async () => {
    const folder = await temporaryFolder();
    const shards = (await run({ folder, settings, chunks })).flatMap((commit) => commit.shards);
    const train = shards.filter((shard) => shard.split === 'train');
    expect(train.length).toBeGreaterThan(5);
    expect(train.slice(0, -1).every((shard) => shard.rows === settings.rowsPerShard)).toBe(true);
    expect(train.map((shard) => shard.file)).toEqual(
      train.map((_, index) => `train/${String(index).padStart(5, '0')}.parquet`),
    );
    expect([...(await filesBelow(folder)).keys()].sort()).toEqual(shards.map((shard) => shard.file).sort());
    for (const shard of shards) expect(await damageOf(folder, shard)).toBeUndefined();
  });

  it('are the same from every commit on, and so are the totals', async () => {
    const whole = await temporaryFolder();
    const commits = await run({ folder: whole, settings, chunks });
    const expected = await filesBelow(whole);
    const totals = commits.map((commit) => commit.counts).reduce(addTotals, noTotals);
    expect(totals.documents).toBe(chunks.reduce((sum, chunk) => sum + chunk.ends.length, 0));
    expect(totals.textBytes).toBe(chunks.reduce((sum, chunk) => sum + chunk.textBytes, 0));
    const folder = await temporaryFolder();
    for (let stopAfter = 1; stopAfter < commits.length; stopAfter += 3) {
      await rm(folder, { recursive: true });
      const first = await run({ folder, settings, chunks, stopAfter });
      const from = JSON.parse(JSON.stringify(first.at(-1)?.end)) as PrepareCursor;
      const done = first.flatMap((commit) => commit.shards);
      const rest = await run({ folder, settings, chunks, from, done });
      expect([...first, ...rest].flatMap((commit) => commit.shards)).toEqual(
        commits.flatMap((commit) => commit.shards),
      );
      expect([...first, ...rest].map((commit) => commit.counts).reduce(addTotals, noTotals)).toEqual(totals);
      expect(await filesBelow(folder)).toEqual(expected);
    }
  });

  it('can be made again one commit at a time', async () => {
    const folder = await temporaryFolder();
    const commits = await run({ folder, settings, chunks });
    const expected = await filesBelow(folder);
    const records = commitsOf({ shards: commits.flatMap((commit) => commit.shards) });
    expect(records.map((record) => record.shards)).toEqual(
      commits.map((commit) => commit.shards).filter((shards) => shards.length > 0),
    );
    for (const index of [0, 3, records.length - 1]) {
      const { shards, start: from = start, firstShard } = records[index]!;
      for (const shard of shards) await writeFile(join(folder, shard.file), 'damaged');
      const committer = new ShardCommitter({
        ...services,
        folder,
        settings,
        start: from,
        nextShard: firstShard,
      });
      const made = await firstCommit(committer, chunks.slice(from.input.sources[0]!.row));
      await committer.discard();
      expect(made.shards).toEqual(shards);
      expect(await filesBelow(folder)).toEqual(expected);
    }
  });
});

async function firstCommit(committer: ShardCommitter, chunks: readonly TokenChunk[]): Promise<Commit> {
  for (const chunk of chunks) {
    for await (const full of committer.take(chunk)) return full.commit();
  }
  return (await committer.finish()).commit();
}

describe('full shards', () => {
  it('become the same commit however much is packed before', async () => {
    const chunks = randomChunks(40);
    const settings = settingsWith({ dedup: 'exact' });
    const commitsWith = async (held: number): Promise<Commit[]> => {
      const folder = await temporaryFolder();
      const seen = await SeenDocuments.open(folder, []);
      const nextShard = { train: 0, validation: 0 };
      const committer = new ShardCommitter({ ...services, folder, settings, start, nextShard, seen });
      const waiting: FullShards[] = [];
      const commits: Commit[] = [];
      for (const chunk of chunks) {
        for await (const full of committer.take(chunk)) {
          waiting.push(full);
          if (waiting.length > held) commits.push(await waiting.shift()!.commit());
        }
      }
      for (const full of waiting) commits.push(await full.commit());
      await committer.discard();
      return commits;
    };
    const commits = await commitsWith(0);
    expect(commits.length).toBeGreaterThan(5);
    expect(commits.every(({ seen }) => seen!.documents > 0)).toBe(true);
    expect(await commitsWith(3)).toEqual(commits);
  });

  it('leave nothing when they are given up', async () => {
    const folder = await temporaryFolder();
    const nextShard = { train: 0, validation: 0 };
    const settings = settingsWith();
    const committer = new ShardCommitter({ ...services, folder, settings, start, nextShard });
    for (const chunk of randomChunks(40)) {
      for await (const full of committer.take(chunk)) await full.discard();
    }
    await committer.discard();
    expect([...(await filesBelow(folder)).keys()]).toEqual([]);
  });
});

describe('the last commit', () => {
  it('counts padding or dropped ids, and every id is in one of the counts', async () => {
    const chunks = randomChunks(10);
    for (const remainder of ['pad', 'drop'] as const) {
      const folder = await temporaryFolder();
      const settings = settingsWith({ remainder });
      const totals = (await run({ folder, settings, chunks }))
        .map((commit) => commit.counts)
        .reduce(addTotals);
      const framed = chunks.reduce((sum, { ids }) => sum + ids.length, 0);
      expect(totals.tokens + totals.droppedTokens).toBe(framed);
      expect((totals.trainRows + totals.validationRows) * settings.maxSeqLen).toBe(
        totals.tokens + totals.paddingTokens,
      );
      expect(totals.droppedTokens > 0).toBe(remainder === 'drop');
      expect(totals.paddingTokens > 0).toBe(remainder === 'pad');
    }
  });

  it('of nothing has no shard', async () => {
    const folder = await temporaryFolder();
    const [commit, ...others] = await run({ folder, settings: settingsWith(), chunks: [] });
    expect(others).toEqual([]);
    expect(commit).toMatchObject({ shards: [], counts: noTotals });
  });
});

describe('a folder after an interruption', () => {
  it('loses what its manifest does not know, and nothing else', async () => {
    const folder = await temporaryFolder();
    const settings = settingsWith();
    const commits = await run({ folder, settings, chunks: randomChunks(40), stopAfter: 6 });
    const known = commits.slice(0, 4).flatMap((commit) => commit.shards);
    for (const name of ['.tmp-manifest.json', 'train/.tmp-00009.parquet', 'train/notes.txt', 'vocab.txt']) {
      await writeFile(join(folder, name), 'x');
    }
    await removeLeftovers(folder, manifestWith({ shards: known }));
    const left = [...(await filesBelow(folder)).keys()].sort();
    expect(left).toEqual([...known.map((shard) => shard.file), 'train/notes.txt', 'vocab.txt'].sort());
  });

  it('shows which shard is missing, short or altered', async () => {
    const folder = await temporaryFolder();
    const [commit] = await run({ folder, settings: settingsWith(), chunks: randomChunks(40), stopAfter: 1 });
    const shard = commit!.shards[0]!;
    const path = join(folder, shard.file);
    const bytes = (await filesBelow(folder)).get(shard.file)!;
    bytes[100]! ^= 1;
    await writeFile(path, bytes);
    expect(await damageOf(folder, shard)).toBe('altered content');
    await writeFile(path, bytes.subarray(1));
    expect(await damageOf(folder, shard)).toBe(`${bytes.length - 1} bytes, expected ${bytes.length}`);
    await rm(path);
    expect(await damageOf(folder, shard)).toBe('missing');
  });
});
