import { execFileSync } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { parquetReadObjects } from 'hyparquet';
import { describe, expect, it } from 'vitest';
import { VectorFile } from '../../../pipeline/shards/vector-file.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { findPython } from '../../support/python.ts';

interface Row {
  readonly text: string;
  readonly embedding: readonly number[];
}

async function write(path: string, groups: readonly (readonly Row[])[]): Promise<void> {
  const file = await VectorFile.create(path);
  for (const group of groups) {
    const vectors = Float32Array.from(group.flatMap(({ embedding }) => embedding));
    await file.write(
      group.map(({ text }) => text),
      vectors,
    );
  }
  await file.finish();
}

async function read(path: string): Promise<readonly Row[]> {
  const bytes = await readFile(path);
  const file = new Uint8Array(bytes).buffer;
  return (await parquetReadObjects({ file })) as unknown as readonly Row[];
}

const groups = fc.integer({ min: 1, max: 9 }).chain((size) => {
  const number = fc.float({ noNaN: true }).map((value) => Math.fround(value) + 0);
  const row = fc.record({
    text: fc.string({ unit: 'grapheme' }),
    embedding: fc.array(number, { minLength: size, maxLength: size }),
  });
  return fc.array(fc.array(row, { minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 3 });
});

describe('VectorFile', () => {
  it('holds the texts and the vectors that were written, in order', async () => {
    const path = join(await temporaryFolder(), 'x.parquet');
    await fc.assert(
      fc.asyncProperty(groups, async (written) => {
        await write(path, written);
        expect(await read(path)).toEqual(written.flat());
      }),
      { numRuns: 50 },
    );
  });

  it('is not there before it is finished, and leaves nothing when it is given up', async () => {
    const folder = await temporaryFolder();
    const file = await VectorFile.create(join(folder, 'x.parquet'));
    await file.write(['a'], Float32Array.of(1, 2));
    expect(await readdir(folder)).toEqual(['.tmp-x.parquet']);
    await file.discard();
    expect(await readdir(folder)).toEqual([]);
  });

  it('is read by pyarrow and DuckDB', async ({ skip }) => {
    const python = findPython(['pyarrow', 'duckdb']);
    if (python === undefined) return skip('no Python with pyarrow and duckdb');
    const path = join(await temporaryFolder(), 'x.parquet');
    const rows = Array.from({ length: 70 }, (_, row) => ({
      text: `line ${row} “é”`,
      embedding: [row, row / 8, -row],
    }));
    await write(path, [rows.slice(0, 64), rows.slice(64)]);
    const script = `
import json, sys, duckdb, pyarrow.parquet as parquet
table = parquet.read_table(sys.argv[1], page_checksum_verification=True)
rows = duckdb.sql(f"select text, embedding from '{sys.argv[1]}'").fetchall()
print(json.dumps({'types': [str(field.type) for field in table.schema], 'rows': table.to_pylist(),
  'same': [list(row) for row in rows] == [[row['text'], row['embedding']] for row in table.to_pylist()]}))`;
    expect(JSON.parse(execFileSync(python, ['-c', script, path], { encoding: 'utf8' }))).toEqual({
      types: ['string', 'list<element: float not null>'],
      rows,
      same: true,
    });
  });
});
