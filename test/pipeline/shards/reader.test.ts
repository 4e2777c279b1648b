import { execFileSync } from 'node:child_process';
import { mkdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parquetMetadata } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { describe, expect, it } from 'vitest';
import type { RowGroup } from '../../../pipeline/pack.ts';
import { Random } from '../../../pipeline/random.ts';
import { type ShardExpectation, ShardReader } from '../../../pipeline/shards/reader.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { findPython } from '../../support/python.ts';
import { randomGroup, writeShard } from '../../support/shards.ts';

/** parquetjs-lite as its README has it, value by value. Arguments: path, { rows, options, compression }. */
const PARQUETJS_SCRIPT = `
  const { ParquetSchema, ParquetWriter } = require('parquetjs-lite');
  const { rows, options, compression } = JSON.parse(process.argv[2]);
  const element = { type: 'INT32', compression };
  const fields = { list: { repeated: true, fields: { element } } };
  const schema = new ParquetSchema({ input_ids: { type: 'LIST', fields } });
  (async () => {
    const writer = await ParquetWriter.openFile(schema, process.argv[1], options);
    for (const row of rows) await writer.appendRow({ input_ids: { list: row.map((element) => ({ element })) } });
    await writer.close();
  })();
`;

/** Rewrites a shard. Argument: path. */
const PYARROW_SCRIPT = `
import sys, pyarrow.parquet as pq
table = pq.read_table(sys.argv[1])
pq.write_table(table, sys.argv[1], row_group_size=8, use_dictionary=True, compression='zstd')
`;

const repository = join(import.meta.dirname, '../../..');

interface Shard {
  readonly expectation: ShardExpectation;
  readonly groups: readonly RowGroup[];
}

/** Two full groups of 8 rows of 16 ids and one of 3. */
async function ownShard(vocabSize = 30_522): Promise<Shard> {
  const folder = await temporaryFolder();
  const groups = [8, 8, 3].map((rows, i) => randomGroup(rows, 16, i, vocabSize));
  const { file, bytes } = await writeShard(folder, groups);
  const path = join(folder, file);
  return { groups, expectation: { path, rows: 19, bytes, rowsPerGroup: 8, maxSeqLen: 16, vocabSize } };
}

async function expectGroups({ expectation, groups }: Shard): Promise<void> {
  const reader = new ShardReader(expectation);
  for (const [i, { rows, ids }] of groups.entries()) {
    const read = await reader.readGroup(i);
    expect(read.numRows).toBe(rows);
    expect(Array.from(read.ids)).toEqual(Array.from(ids));
  }
}

/** Where the pages of a shard begin, where their headers are over, and where they end. */
async function pageRanges(path: string): Promise<{ start: number; body: number; end: number }[]> {
  const file = new Uint8Array(await readFile(path)).buffer;
  return parquetMetadata(file).row_groups.map(({ columns }) => {
    const { data_page_offset, total_compressed_size } = columns[0]!.meta_data!;
    const reader = { view: new DataView(file), offset: Number(data_page_offset) };
    parquetHeader(reader);
    const end = Number(data_page_offset + total_compressed_size);
    return { start: Number(data_page_offset), body: reader.offset, end };
  });
}

function withFlippedBit(bytes: Buffer, offset: number): Buffer {
  const damaged = Buffer.from(bytes);
  damaged[offset]! ^= 1 << (offset % 8);
  return damaged;
}

describe('ShardReader', () => {
  it('reads what the writer wrote, in any order of groups', async () => {
    const shard = await ownShard();
    await expectGroups(shard);
    const reader = new ShardReader(shard.expectation);
    const [last, first] = await Promise.all([reader.readGroup(2), reader.readGroup(0)]);
    expect(Array.from(last.ids)).toEqual(Array.from(shard.groups[2]!.ids));
    expect(Array.from(first.ids)).toEqual(Array.from(shard.groups[0]!.ids));
  });

  it('holds ids in 16 bits where the vocabulary allows, in 32 where not', async () => {
    const small = await ownShard(65_536);
    const large = await ownShard(200_000);
    expect((await new ShardReader(small.expectation).readGroup(0)).ids).toBeInstanceOf(Uint16Array);
    expect((await new ShardReader(large.expectation).readGroup(0)).ids).toBeInstanceOf(Int32Array);
    await expectGroups(small);
    await expectGroups(large);
  });

  it.each([
    ['version 1 pages', { useDataPageV2: false }, 'SNAPPY'],
    ['version 1 pages without compression', { useDataPageV2: false }, 'UNCOMPRESSED'],
    ['version 2 pages', { useDataPageV2: true }, 'UNCOMPRESSED'],
    ['many small pages', { useDataPageV2: true, pageSize: 2 }, 'SNAPPY'],
    ['another codec', { useDataPageV2: false }, 'GZIP'],
  ] as const)('reads shards that parquetjs-lite itself wrote: %s', async (_name, options, compression) => {
    const folder = await temporaryFolder();
    const path = join(folder, 'other.parquet');
    const random = new Random(3);
    const rows = Array.from({ length: 12 }, () => Array.from({ length: 5 }, () => random.below(30_522)));
    const settings = JSON.stringify({ rows, options, compression });
    execFileSync(process.execPath, ['-e', PARQUETJS_SCRIPT, path, settings], { cwd: repository });
    const { size } = await stat(path);
    const reader = new ShardReader({
      path,
      rows: 12,
      bytes: size,
      rowsPerGroup: 12,
      maxSeqLen: 5,
      vocabSize: 30_522,
    });
    expect(Array.from((await reader.readGroup(0)).ids)).toEqual(rows.flat());
  });

  it('reads shards that pyarrow rewrote with dictionaries and zstd', async ({ skip }) => {
    const python = findPython(['pyarrow']);
    if (python === undefined) return skip('no Python with pyarrow');
    const shard = await ownShard();
    const { path } = shard.expectation;
    execFileSync(python, ['-c', PYARROW_SCRIPT, path]);
    const { size } = await stat(path);
    await expectGroups({ ...shard, expectation: { ...shard.expectation, bytes: size } });
  });

  describe('refuses, naming the file,', () => {
    const failure = async (expectation: ShardExpectation, group = 0): Promise<unknown> =>
      new ShardReader(expectation).readGroup(group).then(
        () => undefined,
        (error: unknown) => error,
      );

    it('any flipped bit of any page, with its place', async () => {
      const { expectation } = await ownShard();
      const { path } = expectation;
      const bytes = await readFile(path);
      const ranges = await pageRanges(path);
      expect(ranges).toHaveLength(3);
      for (const [group, { start, body, end }] of ranges.entries()) {
        for (let offset = body; offset < end; offset += 5) {
          await writeFile(path, withFlippedBit(bytes, offset));
          const error = await failure(expectation, group);
          expect(error, `bit at ${offset}`).toMatchObject({ name: 'TacoError', code: 'corrupt', path });
          const place = Number(/at byte (\d+)/.exec(String(error))?.[1]);
          expect(place).toBeGreaterThanOrEqual(start);
          expect(place).toBeLessThan(end);
          expect(String(error)).toContain(`row group ${group}`);
        }
      }
    });

    it('a flipped bit of a page header or the footer, or reads the same ids all the same', async () => {
      const { expectation, groups } = await ownShard();
      const { path } = expectation;
      const bytes = await readFile(path);
      const [, page, last] = await pageRanges(path);
      const header = Array.from({ length: page!.body - page!.start }, (_, i) => page!.start + i);
      const footer = Array.from({ length: bytes.length - last!.end }, (_, i) => last!.end + i);
      let refused = 0;
      for (const offset of [...header, ...footer]) {
        await writeFile(path, withFlippedBit(bytes, offset));
        const result = await new ShardReader(expectation).readGroup(1).catch((error: unknown) => error);
        if (result instanceof Error) {
          expect(result).toMatchObject({ name: 'TacoError', code: 'corrupt', path });
          refused += 1;
        } else {
          expect(result).toMatchObject({ numRows: 8, ids: Uint16Array.from(groups[1]!.ids) });
        }
      }
      expect(refused).toBeGreaterThan(20);
    });

    it('a file that ends early', async () => {
      const { expectation } = await ownShard();
      await truncate(expectation.path, expectation.bytes - 40);
      expect(await failure(expectation)).toMatchObject({
        code: 'corrupt',
        message: expect.stringContaining(expectation.path) as unknown,
      });
    });

    it.each(['', 'PAR1', 'x'.repeat(5000)])('a file of garbage', async (content) => {
      const { expectation } = await ownShard();
      await writeFile(expectation.path, content);
      const error = await failure({ ...expectation, bytes: content.length });
      expect(error).toMatchObject({ name: 'TacoError', code: 'corrupt', path: expectation.path });
    });

    it('a file that is gone', async () => {
      const { expectation } = await ownShard();
      await rm(expectation.path);
      expect(await failure(expectation)).toMatchObject({ code: 'not-found', path: expectation.path });
    });

    it('a folder in its place', async () => {
      const { expectation } = await ownShard();
      await rm(expectation.path);
      await mkdir(expectation.path);
      expect(await failure(expectation)).toMatchObject({ code: 'disk', path: expectation.path });
    });

    it.each([
      ['rows of another length', { maxSeqLen: 15 }, '48 ids, expected 3 rows of 15'],
      ['an id beyond the vocabulary', { vocabSize: 100 }, 'below 100'],
      ['row groups of another size', { rowsPerGroup: 4 }, 'row groups, expected 5'],
      ['another number of rows', { rows: 18 }, '3 rows in row group 2, expected 2'],
    ])('%s', async (_name, change, message) => {
      const { expectation } = await ownShard();
      const error = await failure({ ...expectation, ...change }, 2);
      expect(error).toMatchObject({ code: 'corrupt', path: expectation.path });
      expect(String(error)).toContain(message);
    });
  });

  it('keeps no file open', async () => {
    const { expectation } = await ownShard();
    const reader = new ShardReader(expectation);
    for (let i = 0; i < 30; i += 1) await reader.readGroup(i % 3);
    await rm(dirname(expectation.path), { recursive: true });
    await expect(reader.readGroup(0)).rejects.toMatchObject({ code: 'not-found' });
  });
});
