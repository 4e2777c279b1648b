import { createRequire } from 'node:module';
import { Writable } from 'node:stream';

/** The row writer of parquetjs-lite, which has no types. */
interface ParquetJs {
  ParquetSchema: new (
    fields: Record<string, { type: 'UTF8'; compression: 'SNAPPY' | 'UNCOMPRESSED' }>,
  ) => object;
  ParquetWriter: {
    openStream(schema: object, stream: Writable, options: { rowGroupSize: number }): Promise<RowWriter>;
  };
}

interface RowWriter {
  appendRow(row: Readonly<Record<string, string>>): Promise<void>;
  close(): Promise<void>;
}

const parquetjs = createRequire(import.meta.url)('parquetjs-lite') as ParquetJs;

/** A Parquet file in memory with text columns, uncompressed so that its sizes are known. */
export async function textParquet(
  rows: readonly Readonly<Record<string, string>>[],
  rowGroupSize = 100,
): Promise<Uint8Array> {
  const columns = Object.keys(rows[0] ?? { text: '' });
  const fields = columns.map((name) => [name, { type: 'UTF8', compression: 'UNCOMPRESSED' }] as const);
  const blocks: Uint8Array[] = [];
  const sink = new Writable({
    write(block: Uint8Array, _encoding, done) {
      blocks.push(Buffer.from(block));
      done();
    },
  });
  const schema = new parquetjs.ParquetSchema(Object.fromEntries(fields));
  const writer = await parquetjs.ParquetWriter.openStream(schema, sink, { rowGroupSize });
  for (const row of rows) await writer.appendRow(row);
  await writer.close();
  return Buffer.concat(blocks);
}
