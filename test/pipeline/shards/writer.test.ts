import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { parquetMetadata, parquetReadObjects } from 'hyparquet';
import { describe, expect, it } from 'vitest';
import { ShardWriter } from '../../../pipeline/shards/writer.ts';
import { rowsOf } from '../../support/documents.ts';
import { filesBelow, temporaryFolder } from '../../support/folders.ts';
import { findPython } from '../../support/python.ts';
import { encoder, goldenGroups, randomGroup, writeShard } from '../../support/shards.ts';

const fixtures = join(import.meta.dirname, '../../fixtures/shards');

function arrayBufferOf(bytes: Buffer): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}

describe('a shard', () => {
  it('has the bytes that pyarrow, DuckDB and datasets read as lists when they were committed', async () => {
    const folder = await temporaryFolder();
    const { file } = await writeShard(folder, goldenGroups());
    expect(await readFile(join(folder, file))).toEqual(await readFile(join(fixtures, 'golden.parquet')));
    expect(JSON.parse(await readFile(join(fixtures, 'expected.json'), 'utf8'))).toEqual(
      goldenGroups().flatMap(rowsOf),
    );
  });

  it('is read as lists by pyarrow, DuckDB and datasets', { timeout: 60_000 }, async ({ skip }) => {
    const python = findPython(['pyarrow', 'duckdb', 'datasets']);
    if (python === undefined) return skip('no Python with pyarrow, duckdb and datasets');
    const folder = await temporaryFolder();
    const groups = [randomGroup(256, 256, 1), randomGroup(256, 256, 2), randomGroup(3, 256, 3)];
    const { file } = await writeShard(folder, groups);
    const rows = join(folder, 'rows.json');
    await writeFile(rows, JSON.stringify(groups.flatMap(rowsOf)));
    const { status, stderr, stdout } = spawnSync(
      python,
      [join(fixtures, 'verify.py'), join(folder, file), rows],
      {
        encoding: 'utf8',
      },
    );
    expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('515 rows');
  });

  it('comes back with every row, whatever the shape', async () => {
    const shapes = fc.record({
      maxSeqLen: fc.integer({ min: 1, max: 300 }),
      groups: fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 20 }),
      seed: fc.nat(),
    });
    await fc.assert(
      fc.asyncProperty(shapes, async ({ maxSeqLen, groups, seed }) => {
        const folder = await temporaryFolder();
        const written = groups.map((rows, index) => randomGroup(rows, maxSeqLen, seed + index));
        const { file } = await writeShard(folder, written);
        const bytes = arrayBufferOf(await readFile(join(folder, file)));
        const got = await parquetReadObjects({ file: bytes });
        expect(got).toEqual(written.flatMap(rowsOf).map((ids) => ({ input_ids: ids })));
        expect(parquetMetadata(bytes).row_groups.map((group) => Number(group.num_rows))).toEqual(groups);
      }),
      { numRuns: 30 },
    );
  });

  it('states its facts, and the true sizes in its footer', async () => {
    const folder = await temporaryFolder();
    const group = { ...randomGroup(4, 32, 1), tokens: 100 };
    const shard = await writeShard(folder, [group, group]);
    const bytes = await readFile(join(folder, 'train', '00000.parquet'));
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect(shard).toEqual({
      split: 'train',
      file: 'train/00000.parquet',
      rows: 8,
      tokens: 200,
      bytes: bytes.length,
      sha256,
    });
    const [first] = parquetMetadata(arrayBufferOf(bytes)).row_groups;
    const column = first?.columns[0]?.meta_data;
    expect(column?.codec).toBe('UNCOMPRESSED');
    expect(column?.encodings).toContain('DELTA_BINARY_PACKED');
    expect(column?.total_uncompressed_size).toBe(column?.total_compressed_size);
    // Two bytes an id, the levels of four rows, and the page's header.
    expect(Number(column?.total_compressed_size)).toBeGreaterThan(4 * 32 * 2);
    expect(Number(column?.total_compressed_size)).toBeLessThan(4 * 32 * 3);
    expect(Number(first?.total_byte_size)).toBe(Number(column?.total_uncompressed_size));
  });

  it('leaves nothing behind when it is given up', async () => {
    const folder = await temporaryFolder();
    await writeShard(folder, goldenGroups());
    const writer = await ShardWriter.create(folder, 'train', 1, encoder);
    await writer.write(randomGroup(2, 16, 1));
    await writer.discard();
    expect([...(await filesBelow(folder)).keys()]).toEqual(['train/00000.parquet']);
  });

  it('is not begun in a folder that is not there', async () => {
    const folder = await temporaryFolder();
    await expect(ShardWriter.create(folder, 'train', 0, encoder)).rejects.toMatchObject({ code: 'disk' });
  });
});
