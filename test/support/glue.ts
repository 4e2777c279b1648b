import { createRequire } from 'node:module';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { builtinTokenizer } from '../../pipeline/text/builtin-vocabulary.ts';
import { createTokenizer, type Tokenizer } from '../../pipeline/text/wordpiece.ts';
import { createResult, epochEvaluation, type GlueResult } from '../../src/glue/results.ts';
import { glueTask, type GlueTaskName } from '../../src/glue/tasks.ts';
import type { Metrics } from '../../src/glue/metrics.ts';

/** Types of columns as `nyu-mll/glue` has them. */
export type GlueSchema = Readonly<Record<string, 'UTF8' | 'INT64' | 'INT32' | 'FLOAT'>>;
export type GlueParquetRow = Readonly<Record<string, string | number | undefined>>;

interface ParquetJs {
  ParquetSchema: new (
    fields: Record<string, { type: string; compression: 'SNAPPY'; optional: boolean }>,
  ) => object;
  ParquetWriter: {
    openStream(
      schema: object,
      stream: Writable,
      options: { rowGroupSize: number },
    ): Promise<{ appendRow(row: GlueParquetRow): Promise<void>; close(): Promise<void> }>;
  };
}

const parquetjs = createRequire(import.meta.url)('parquetjs-lite') as ParquetJs;

/** A Parquet file in memory, in row groups of three. */
export async function glueParquet(schema: GlueSchema, rows: readonly GlueParquetRow[]): Promise<Uint8Array> {
  const blocks: Uint8Array[] = [];
  const sink = new Writable({
    write(block: Uint8Array, _encoding, done) {
      blocks.push(Buffer.from(block));
      done();
    },
  });
  const fields = Object.entries(schema).map(
    ([name, type]) => [name, { type, compression: 'SNAPPY', optional: true }] as const,
  );
  const parquetSchema = new parquetjs.ParquetSchema(Object.fromEntries(fields));
  const writer = await parquetjs.ParquetWriter.openStream(parquetSchema, sink, { rowGroupSize: 3 });
  for (const row of rows) await writer.appendRow(row);
  await writer.close();
  return Buffer.concat(blocks);
}

/** Writes files below a folder, making the folders they lie in. */
export async function writeFiles(
  folder: string,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
}

/** bert-base-uncased with little memory. */
export function uncasedTokenizer(): Tokenizer {
  return createTokenizer(builtinTokenizer(), { shortEntries: 1024, longEntries: 256 });
}

const SETTINGS = { batchSize: 16, learningRate: 5e-5, epochs: 2 };

/**
 * The record of a fine-tuning of two epochs.
 * @param last every metric of the last epoch, of each validation split in turn
 * @param first the same of the first epoch
 */
export function glueResult(
  name: GlueTaskName,
  seed: number,
  last: number | readonly number[],
  first: number | readonly number[] = 0,
  more: Partial<Pick<GlueResult, 'checkpoint' | 'settings' | 'data'>> = {},
): GlueResult {
  const task = glueTask(name);
  const metrics = (values: number | readonly number[]): Readonly<Record<string, Metrics>> =>
    Object.fromEntries(
      task.validations.map((split, at) => {
        const value = typeof values === 'number' ? values : values[at]!;
        return [split.name, Object.fromEntries(task.metrics.map((metric) => [metric, value]))];
      }),
    );
  const key = {
    task: name,
    seed,
    checkpoint: { id: 'runs/mlm@250000', step: 250_000 },
    data: 'nyu-mll/glue@0123',
    settings: SETTINGS,
    ...more,
  };
  return createResult(key, [epochEvaluation(1, 10, metrics(first)), epochEvaluation(2, 20, metrics(last))]);
}
