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

export interface TextParquetOptions {
  readonly rowGroupSize: number;
  readonly compression: 'SNAPPY' | 'UNCOMPRESSED';
}

/** Begins a Parquet file of text columns; rows are appended, `close` writes the footer. */
export function openTextParquet(
  sink: Writable,
  columns: readonly string[],
  { rowGroupSize, compression }: TextParquetOptions,
): Promise<RowWriter> {
  const fields = columns.map((name) => [name, { type: 'UTF8', compression }] as const);
  const schema = new parquetjs.ParquetSchema(Object.fromEntries(fields));
  return parquetjs.ParquetWriter.openStream(schema, sink, { rowGroupSize });
}

/** A Parquet file in memory with text columns, as a rule uncompressed so that its sizes are known. */
export async function textParquet(
  rows: readonly Readonly<Record<string, string>>[],
  rowGroupSize = 100,
  compression: TextParquetOptions['compression'] = 'UNCOMPRESSED',
): Promise<Uint8Array> {
  const blocks: Uint8Array[] = [];
  const sink = new Writable({
    write(block: Uint8Array, _encoding, done) {
      blocks.push(Buffer.from(block));
      done();
    },
  });
  const columns = Object.keys(rows[0] ?? { text: '' });
  const writer = await openTextParquet(sink, columns, { rowGroupSize, compression });
  for (const row of rows) await writer.appendRow(row);
  await writer.close();
  return Buffer.concat(blocks);
}
