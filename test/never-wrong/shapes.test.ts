import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { PrepareConfig, PrepareInput } from '../../pipeline/config.ts';
import { takeBatches } from '../support/batch-stream.ts';
import { hashesBelow, temporaryFolder } from '../support/folders.ts';
import {
  failureOf,
  mixedConfig,
  prepareToEnd,
  rowsIn,
  tokenizerFrom,
  writeInputs,
} from '../support/preparations.ts';
import { makeTexts, writeJsonLines } from '../support/texts.ts';

const fixtures = join(import.meta.dirname, '../fixtures/parquet');

/** A folder with a vocabulary and a folder `texts`, and the configuration that reads it. */
async function workplace(input: PrepareInput = {}): Promise<{ texts: string; config: PrepareConfig }> {
  const folder = await temporaryFolder();
  await writeInputs(folder, 2);
  const texts = join(folder, 'texts');
  await mkdir(texts);
  const config = mixedConfig(folder, { sources: [`file:${texts}`], validation: 0, ...input });
  return { texts, config };
}

/** The ids of all documents as the rows must hold them one after another. */
async function idsOf(config: PrepareConfig, documents: readonly string[]): Promise<number[]> {
  const tokenizer = await tokenizerFrom(config.tokenizer);
  const ids = documents.map((document) => tokenizer.encode(document)).filter(({ length }) => length > 0);
  return ids.flatMap((document) => [2, ...document, 3]);
}

async function expectDocuments(config: PrepareConfig, documents: readonly string[]): Promise<void> {
  const ids = (await rowsIn(config.out, 'train')).flat();
  const expected = await idsOf(config, documents);
  expect(expected.length).toBeGreaterThan(0);
  expect(ids.slice(0, expected.length)).toEqual(expected);
  expect(ids.slice(expected.length).every((id) => id === 0)).toBe(true);
}

/** Empty and nearly empty files of every kind, by name. */
async function writeEmptyFiles(folder: string, prefix: string): Promise<void> {
  await writeFile(join(folder, `${prefix}.txt`), '');
  await writeFile(join(folder, `${prefix}-lines.txt`), '\n\r\n\n');
  await writeFile(join(folder, `${prefix}.jsonl`), '');
  await writeFile(join(folder, `${prefix}-blank.jsonl`), '\n  \n');
  await writeFile(join(folder, `${prefix}-packed.txt.gz`), gzipSync(''));
  await copyFile(join(fixtures, 'no-rows.parquet'), join(folder, `${prefix}.parquet`));
}

describe('preparation', () => {
  it('of fewer documents than workers holds them all', async () => {
    for (const workers of [0, 3, 8]) {
      const { texts, config } = await workplace({ workers });
      await writeJsonLines(join(texts, 'few.jsonl'), ['one word', 'two']);
      await prepareToEnd(config);
      await expectDocuments(config, ['one word', 'two']);
    }
  });

  it('of files among which some are empty goes over these, from the first to the last', async () => {
    const { texts, config } = await workplace({ workers: 2 });
    await writeEmptyFiles(texts, 'a');
    await writeJsonLines(join(texts, 'b.jsonl'), ['first file']);
    await writeEmptyFiles(texts, 'c');
    await writeFile(join(texts, 'd.txt'), 'second file\n\nsecond line');
    await writeEmptyFiles(texts, 'e');
    await prepareToEnd(config);
    await expectDocuments(config, ['first file', 'second file', 'second line']);
  });

  it('of very uneven files, one document larger than any block or row group, holds them all in order', async () => {
    const huge = makeTexts({ documents: 1, maxWords: 0 }).concat('abc de, '.repeat(400_000));
    const parts = [
      ['x'],
      makeTexts({ documents: 3000, maxWords: 8 }),
      huge,
      makeTexts({ documents: 7 }),
      ['z'],
    ];
    const results: object[] = [];
    for (const workers of [0, 2, 8]) {
      const { texts, config } = await workplace({ workers, rowsPerShard: 4096 });
      for (const [index, part] of parts.entries()) {
        await writeJsonLines(join(texts, `${index}.jsonl`), part);
      }
      await prepareToEnd(config);
      if (workers === 0) await expectDocuments(config, parts.flat());
      const files = Object.entries(await hashesBelow(config.out));
      results.push(Object.fromEntries(files.filter(([name]) => name.endsWith('.parquet'))));
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });

  it('of a source of only empty documents beside another one changes nothing', async () => {
    const { texts, config } = await workplace({ workers: 1 });
    const [empty, full] = [join(texts, 'empty.jsonl'), join(texts, 'full.jsonl')];
    await writeJsonLines(empty, new Array<string>(20_000).fill(''));
    await writeJsonLines(full, ['some', 'words']);
    for (const sources of [
      [`file:${empty}`, `file:${full}`],
      [`9:file:${empty}`, `1:file:${full}`],
      [`1:file:${full}`, `9:file:${empty}`],
    ]) {
      const mixed = {
        ...config,
        sources,
        out: `${config.out}-${sources.join().length}-${sources[0]!.length}`,
      };
      await prepareToEnd(mixed);
      await expectDocuments(mixed, ['some', 'words']);
    }
  });

  it('of nothing but empty documents says in one line that there is nothing, and leaves nothing in the way', async () => {
    for (const workers of [0, 2]) {
      const { texts, config } = await workplace({ workers });
      await writeJsonLines(join(texts, 'empty.jsonl'), ['', ' ', '\t']);
      const error = await failureOf(prepareToEnd(config));
      expect(error.code).toBe('bad-config');
      expect(error.message).toMatch(/^the sources hold .* too few for one training row of 64.*$/);
      await writeJsonLines(join(texts, 'empty.jsonl'), ['', 'a word']);
      await prepareToEnd(config);
      await expectDocuments(config, ['a word']);
    }
  });
});

describe('batches', () => {
  it('of a dataset with one short row group, and with uneven shards, hold each row once an epoch', async () => {
    for (const [documents, rowsPerShard] of [
      [3, 256],
      [150, 8],
    ] as const) {
      const { texts, config } = await workplace({ rowsPerShard, packing: 'documents' });
      await writeJsonLines(join(texts, 'texts.jsonl'), makeTexts({ documents, seed: 5 }));
      await prepareToEnd(config);
      const rows = await rowsIn(config.out, 'train');
      for (const worker of [false, true]) {
        const options = { data: [config.out], batchSize: 1, seed: 1, mlmProbability: 1e-9, worker };
        const batches = await takeBatches(options, 2 * rows.length);
        const delivered = batches.map(({ inputIds, maskedPositions, maskedLabels }) => {
          const ids = Array.from(inputIds);
          for (const [i, position] of maskedPositions.entries()) ids[position] = maskedLabels[i]!;
          return ids.join();
        });
        const expected = rows.map((row) => row.join()).sort();
        expect(delivered.slice(0, rows.length).sort()).toEqual(expected);
        expect(delivered.slice(rows.length).sort()).toEqual(expected);
      }
    }
  });
});
