import { appendFile, copyFile, cp, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { PrepareConfig } from '../../pipeline/config.ts';
import { TacoError } from '../../pipeline/errors.ts';
import { openDataset } from '../../pipeline/shards/dataset.ts';
import { takeBatches } from '../support/batch-stream.ts';
import { filesBelow, hashesBelow } from '../support/folders.ts';
import {
  failureOf,
  mixedConfig,
  openVerified,
  prepareToEnd,
  prepareUntil,
  rowsIn,
  writeInputs,
} from '../support/preparations.ts';

let home = '';
/** A finished dataset, and one that was interrupted; each test works on a copy. */
let config: PrepareConfig;
let finished: Record<string, string> = {};
const SHARDS = ['train/00001.parquet', 'validation/00000.parquet'] as const;
const TOKENIZER_FILES = ['vocab.txt', 'tokenizer.json'] as const;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'taco-damage-'));
  await writeInputs(home, 60);
  const whole = smallConfig('whole');
  await prepareToEnd(whole);
  finished = await hashesBelow(whole.out);
  expect(Object.keys(finished).length).toBeGreaterThan(10);
  await prepareUntil(smallConfig('begun'), 'committed', 4);
});
afterAll(() => rm(home, { recursive: true, force: true }));
beforeEach(async () => {
  config = smallConfig('copy');
  await rm(config.out, { recursive: true, force: true });
  await cp(join(home, 'whole'), config.out, { recursive: true });
});

function smallConfig(name: string): PrepareConfig {
  const shape = { maxSeqLen: 64, rowsPerShard: 16, rowsPerGroup: 16, validation: '45%' };
  return mixedConfig(home, { ...shape, out: join(home, name) });
}

/** Every so many bytes another bit; all bytes of the last 100, where footers are short. */
function* flipsOf(content: Buffer, step: number): Generator<{ flipped: Buffer; at: number }> {
  for (let at = 0; at < content.length; at += at < content.length - 100 ? step : 1) {
    const flipped = Buffer.from(content);
    flipped[at]! ^= 1 << (at % 8);
    yield { flipped, at };
  }
}

async function allRows(): Promise<string> {
  const rows = [await rowsIn(config.out, 'train'), await rowsIn(config.out, 'validation')];
  return JSON.stringify(rows);
}

/** Every row group, without looking at hashes first. */
async function readAllGroups(): Promise<string> {
  const dataset = await openDataset(config.out);
  const ids: unknown[] = [];
  for (const split of ['train', 'validation'] as const) {
    for (let group = 0; group < dataset.numGroups(split); group += 1) {
      ids.push(Array.from((await dataset.readGroup(split, group)).ids));
    }
  }
  return JSON.stringify(ids);
}

function expectOneLine(error: unknown, path: string): string {
  expect(error).toBeInstanceOf(TacoError);
  const { message } = error as TacoError;
  expect(message).not.toContain('\n');
  expect(message).toContain(path);
  return message;
}

const spoilers: readonly (readonly [string, (path: string) => Promise<void>])[] = [
  ['with one flipped bit', (path) => flipOne(path)],
  ['cut off', async (path) => truncate(path, (await readFile(path)).length - 1)],
  ['cut to the half', async (path) => truncate(path, (await readFile(path)).length >> 1)],
  ['longer', (path) => appendFile(path, '\0')],
  ['empty', (path) => writeFile(path, '')],
  [
    'garbage of the same size',
    async (path) => writeFile(path, Buffer.alloc((await readFile(path)).length, 7)),
  ],
  ['another shard', (path) => copyFile(path.replace(/\d+\.parquet$/, '00002.parquet'), path)],
  ['gone', (path) => rm(path)],
];

async function flipOne(path: string): Promise<void> {
  const content = await readFile(path);
  content[content.length >> 1]! ^= 4;
  await writeFile(path, content);
}

describe('one flipped bit', () => {
  it.each(SHARDS)('of %s is found by the hashes, wherever it is', async (name) => {
    const path = join(config.out, name);
    const content = await readFile(path);
    let flips = 0;
    for (const { flipped } of flipsOf(content, 37)) {
      await writeFile(path, flipped);
      expectOneLine(await openVerified(config.out).catch((error: unknown) => error), path);
      flips += 1;
    }
    expect(flips).toBeGreaterThan(100);
  });

  it.each(SHARDS)(
    'of %s never changes what is read: an error with file and byte, or the same ids',
    async (name) => {
      const path = join(config.out, name);
      const content = await readFile(path);
      const expected = await readAllGroups();
      let found = 0;
      let harmless = 0;
      for (const { flipped } of flipsOf(content, 11)) {
        await writeFile(path, flipped);
        const read = await readAllGroups().catch((error: unknown) => error);
        if (read === expected) harmless += 1;
        else {
          expect(expectOneLine(read, path)).toMatch(/ byte \d+/);
          found += 1;
        }
      }
      expect(found).toBeGreaterThan(2 * harmless);
    },
  );

  it('of a shard never changes a batch: the stream ends with an error, or gives the same', async () => {
    const path = join(config.out, SHARDS[0]);
    const content = await readFile(path);
    const numRows = (await rowsIn(config.out, 'train')).length;
    const options = { data: [config.out], batchSize: 8, seed: 3, taco: {} };
    const epoch = (): Promise<unknown> => takeBatches(options, Math.ceil(numRows / 8));
    const expected = JSON.stringify(await epoch());
    let found = 0;
    for (const { flipped } of flipsOf(content, 47)) {
      await writeFile(path, flipped);
      const batches = await epoch().catch((error: unknown) => error);
      if (batches instanceof TacoError) {
        expectOneLine(batches, path);
        found += 1;
      } else expect(JSON.stringify(batches)).toBe(expected);
    }
    expect(found).toBeGreaterThan(20);
  });

  it('of what tells the documents seen is found by whoever verifies and by who goes on; nothing is touched', async () => {
    const target = { ...smallConfig('seen'), dedup: 'exact' as const };
    await prepareUntil(target, 'committed', 4);
    const name = [...(await filesBelow(target.out)).keys()].find((file) => file.startsWith('seen/'))!;
    const path = join(target.out, name);
    const content = await readFile(path);
    expect(content.length).toBeGreaterThan(64);
    const before = await hashesBelow(target.out);
    for (const { flipped } of flipsOf(content, 13)) {
      await writeFile(path, flipped);
      const dataset = await openDataset(target.out, { unfinished: true });
      expect(await dataset.compareState()).toEqual(
        new Map([[path, expect.stringMatching(/^altered content, its sha256 is/) as string]]),
      );
    }
    for (const [how, spoil] of spoilers.slice(0, 6)) {
      await writeFile(path, content);
      await spoil(path);
      const error = await prepareToEnd(target).catch((thrown: unknown) => thrown);
      expect(expectOneLine(error, path), how).toMatch(/is damaged \((altered content|\d+ bytes)/);
    }
    await rm(path);
    expect(expectOneLine(await prepareToEnd(target).catch((e: unknown) => e), path)).toContain('(missing)');
    await writeFile(path, content);
    expect(await hashesBelow(target.out)).toEqual(before);
    const whole = { ...smallConfig('seen-whole'), dedup: 'exact' as const };
    await prepareToEnd(whole);
    await prepareToEnd(target);
    expect(await hashesBelow(target.out)).toEqual(await hashesBelow(whole.out));
  });

  it('of the manifest is found by who reads the dataset and by who goes on preparing it; nothing is touched', async () => {
    for (const name of ['whole', 'begun']) {
      const target = { ...config, out: join(home, `${name}-manifest`) };
      await cp(join(home, name), target.out, { recursive: true });
      const path = join(target.out, 'manifest.json');
      const content = await readFile(path);
      const before = await hashesBelow(target.out);
      for (const { flipped } of flipsOf(content, 197)) {
        await writeFile(path, flipped);
        expectOneLine(await openDataset(target.out).catch((error: unknown) => error), path);
        expectOneLine(await prepareToEnd(target).catch((error: unknown) => error), target.out);
        expect(await readFile(path)).toEqual(flipped);
      }
      await writeFile(path, content);
      expect(await hashesBelow(target.out)).toEqual(before);
    }
  });
});

describe('preparing again', () => {
  it.each(spoilers)('makes shards anew that are %s, byte for byte', async (_how, spoil) => {
    for (const name of SHARDS) await spoil(join(config.out, name));
    const before = await allRows().catch((error: unknown) => error);
    expect(SHARDS.some((name) => expectOneLine(before, config.out).includes(name))).toBe(true);
    const events = await prepareToEnd(config);
    expect(events.flatMap((event) => (event.type === 'repairing' ? [event.file] : [])).sort()).toEqual(
      SHARDS,
    );
    expect(await hashesBelow(config.out)).toEqual(finished);
  });

  it('makes shards anew of a dataset that was interrupted, and finishes it', async () => {
    const begun = { ...config, out: join(home, 'begun') };
    await flipOne(join(begun.out, SHARDS[0]));
    await prepareToEnd(begun);
    expect(await hashesBelow(begun.out)).toEqual(finished);
  });

  it.each(spoilers.filter(([how]) => how !== 'another shard'))(
    'restores tokenizer files that are %s',
    async (_how, spoil) => {
      for (const name of TOKENIZER_FILES) {
        await spoil(join(config.out, name));
        await prepareToEnd(config);
        expect(await hashesBelow(config.out)).toEqual(finished);
      }
    },
  );

  it('restores tokenizer files that are well-formed and have another token', async () => {
    const path = join(config.out, 'tokenizer.json');
    const other = (await readFile(path, 'utf8')).replaceAll('"##e"', '"##E"');
    await writeFile(path, other);
    expect((await hashesBelow(config.out))['tokenizer.json']).not.toBe(finished['tokenizer.json']);
    await prepareToEnd(config);
    expect(await hashesBelow(config.out)).toEqual(finished);
  });

  it('does without the tokenizer that was given when the dataset has its own', async () => {
    const letters = join(home, 'letters.txt');
    const content = await readFile(letters);
    try {
      await flipOne(letters);
      await flipOne(join(config.out, SHARDS[0]));
      await prepareToEnd(config);
      expect(await hashesBelow(config.out)).toEqual(finished);
      // With both damaged there is none to make the same rows with.
      await truncate(join(config.out, 'tokenizer.json'), 100);
      const before = await hashesBelow(config.out);
      expectOneLine(await prepareToEnd(config).catch((error: unknown) => error), letters);
      expect(await hashesBelow(config.out)).toEqual(before);
    } finally {
      await writeFile(letters, content);
    }
  });

  it('names the source when a damaged shard cannot be made again without it, and leaves the rest', async () => {
    await flipOne(join(config.out, SHARDS[0]));
    const before = await hashesBelow(config.out);
    const source = join(home, 'texts.jsonl');
    const content = await readFile(source);
    try {
      await rm(source);
      expect((await failureOf(prepareToEnd(config))).message).toContain(source);
      await writeFile(source, Buffer.concat([content, Buffer.from('{"text":"more"}\n')]));
      expect((await failureOf(prepareToEnd(config))).message).toMatch(
        /texts\.jsonl, \d+ bytes.*texts\.jsonl, /,
      );
      expect(await hashesBelow(config.out)).toEqual(before);
    } finally {
      await writeFile(source, content);
    }
    await prepareToEnd(config);
    expect(await hashesBelow(config.out)).toEqual(finished);
  });

  it.each([
    ['empty', '', 0],
    ['cut off', undefined, 2000],
    ['without a comma', '{"é": 1 "b": 2}', 9],
    ['garbage', '\0\u0001PAR1'],
    ['of another program', '{"schemaVersion":"x"}'],
    ['null', 'null'],
  ])('refuses a manifest that is %s in one line, and touches nothing', async (_how, text, place?: number) => {
    const path = join(config.out, 'manifest.json');
    await (text === undefined ? truncate(path, 2000) : writeFile(path, text));
    const before = await filesBelow(config.out);
    const message = expectOneLine(await prepareToEnd(config).catch((error: unknown) => error), path);
    if (place !== undefined) expect(message).toContain(`not JSON from byte ${place} on`);
    expectOneLine(
      await takeBatches({ data: [config.out], batchSize: 2, seed: 0 }, 1).catch((e: unknown) => e),
      path,
    );
    expect(await filesBelow(config.out)).toEqual(before);
  });
});
