import { appendFile, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openDataset } from '../../../pipeline/shards/dataset.ts';
import { fingerprintOf, writeManifest } from '../../../pipeline/shards/manifest.ts';
import { type VerifyEvent, verifyDataset } from '../../../pipeline/shards/verify.ts';
import { writeDataset } from '../../support/dataset.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { pushBench } from '../../support/pushed-dataset.ts';

const shape = { maxSeqLen: 16, rowsPerGroup: 8, train: [16, 16, 5], validation: [9] };

async function eventsOf(folder: string): Promise<VerifyEvent[]> {
  const dataset = await openDataset(folder, { checkShards: false });
  const events: VerifyEvent[] = [];
  for await (const event of verifyDataset(dataset)) events.push(event);
  return events;
}

/** What is wrong, by file. */
async function damagesOf(folder: string): Promise<Record<string, string>> {
  const damaged = (await eventsOf(folder)).flatMap((event) =>
    event.kind === 'damaged' ? [[event.shard!.file, event.damage]] : [],
  );
  return Object.fromEntries(damaged) as Record<string, string>;
}

describe('verifyDataset', () => {
  it('finds nothing in a whole dataset, and tells how far it is', async () => {
    const folder = await temporaryFolder();
    const { shards } = await writeDataset(folder, shape);
    const totalBytes = shards.reduce((sum, { bytes }) => sum + bytes, 0);
    const events = await eventsOf(folder);
    const done = events.map((event) => (event.kind === 'progress' ? event.doneBytes : -1));
    expect(done).toEqual([...done].sort((a, b) => a - b));
    expect(events.at(-1)).toEqual({
      kind: 'progress',
      file: 'validation/00000.parquet',
      doneBytes: totalBytes,
      totalBytes,
    });
    expect(events.some(({ kind }) => kind === 'damaged')).toBe(false);
  });

  it('finds any flipped bit of any byte, wherever it lies', async () => {
    const folder = await temporaryFolder();
    await writeDataset(folder, shape);
    const path = join(folder, 'train/00001.parquet');
    const bytes = await readFile(path);
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: bytes.length - 1 }),
        fc.integer({ min: 0, max: 7 }),
        async (offset, bit) => {
          const damaged = Buffer.from(bytes);
          damaged[offset]! ^= 1 << bit;
          await writeFile(path, damaged);
          const damages = await damagesOf(folder);
          expect(Object.keys(damages)).toEqual(['train/00001.parquet']);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('names the place, and all damaged shards of all kinds', async () => {
    const folder = await temporaryFolder();
    await writeDataset(folder, { ...shape, train: [16, 16, 16, 16, 16] });
    const path = (index: number) => join(folder, `train/0000${index}.parquet`);
    const flipped = await readFile(path(0));
    const { start, end } = await (await openDataset(folder)).shards[0]!.reader.rangeOf(1);
    flipped[end - 1]! ^= 1;
    await writeFile(path(0), flipped);
    await rm(path(1));
    await truncate(path(2), 100);
    await appendFile(path(3), 'x');
    const damages = await damagesOf(folder);
    expect(damages).toEqual({
      'train/00000.parquet': expect.stringMatching(
        /^at byte \d+, row group 1: its checksum differs$/,
      ) as string,
      'train/00001.parquet': 'missing',
      'train/00002.parquet': expect.stringMatching(/^100 bytes, expected \d+$/) as string,
      'train/00003.parquet': expect.stringMatching(/^\d+ bytes, expected \d+$/) as string,
    });
    const place = Number(/\d+/.exec(damages['train/00000.parquet']!)![0]);
    expect(place).toBeGreaterThanOrEqual(start);
    expect(place).toBeLessThan(end);
  });

  it('finds ids beyond the vocabulary in a shard whose hash is right', async () => {
    const folder = await temporaryFolder();
    const manifest = await writeDataset(folder, shape);
    const tokenizer = { ...manifest.tokenizer, vocabSize: 2000 };
    const changed = { ...manifest, tokenizer };
    await writeManifest(folder, { ...changed, fingerprint: fingerprintOf(changed) });
    const damages = await damagesOf(folder);
    expect(Object.keys(damages)).toHaveLength(4);
    expect(damages['train/00000.parquet']).toMatch(
      /^at byte 4, row group 0: id \d+, expected one below 2000$/,
    );
  });

  it('stops when told to', async () => {
    const folder = await temporaryFolder();
    await writeDataset(folder, shape);
    const stop = new AbortController();
    const dataset = await openDataset(folder);
    const seen: VerifyEvent[] = [];
    const reading = async (): Promise<void> => {
      for await (const event of verifyDataset(dataset, { signal: stop.signal })) {
        seen.push(event);
        stop.abort(new Error('enough'));
      }
    };
    await expect(reading()).rejects.toThrow('enough');
    expect(seen).toHaveLength(1);
  });

  it('of a dataset on the Hub reads every byte once, besides the footers', async () => {
    const bench = await pushBench(
      {},
      { maxSeqLen: 128, rowsPerGroup: 64, train: [640, 640], validation: [70] },
    );
    await bench.push();
    const dataset = await bench.open();
    bench.hub.resetLog();
    for await (const event of verifyDataset(dataset)) expect(event.kind).toBe('progress');
    const cdn = bench.hub.requests.filter(({ route }) => route === 'cdn');
    const total = dataset.shards.reduce((sum, { shard }) => sum + shard.bytes, 0);
    const footers = dataset.shards.reduce((sum, { shard }) => sum + Math.min(shard.bytes, 64 << 10), 0);
    expect(cdn.reduce((sum, { bytesSent }) => sum + bytesSent, 0)).toBe(total + footers);
    expect(cdn).toHaveLength(2 * dataset.shards.length);
  });
});
