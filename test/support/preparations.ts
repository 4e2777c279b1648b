import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lastValueFrom, tap, toArray } from 'rxjs';
import { createPrepareConfig, type PrepareConfig, type PrepareInput } from '../../pipeline/config.ts';
import { type PrepareEvent, type PrepareOptions, prepare } from '../../pipeline/prepare.ts';
import { type Dataset, openDataset } from '../../pipeline/shards/dataset.ts';
import { DamagedShard } from '../../pipeline/shards/shard-source.ts';
import { verifyDataset } from '../../pipeline/shards/verify.ts';
import type { Split } from '../../pipeline/shards/manifest.ts';
import { loadTokenizer } from '../../pipeline/text/load-tokenizer.ts';
import { createTokenizer, type Tokenizer } from '../../pipeline/text/wordpiece.ts';
import { textParquet } from './text-parquet.ts';
import { makeTexts, writeJsonLines, writeVocabulary } from './texts.ts';

/** The context of a preparation from local files. */
export const offline: PrepareOptions = {
  sources: {},
  tokenizers: { fetchHubFile: () => Promise.reject(new Error('no network in this test')) },
};

/** Runs a preparation to its end and returns what it told. */
export async function prepareToEnd(
  config: PrepareConfig,
  options: PrepareOptions = offline,
): Promise<PrepareEvent[]> {
  return lastValueFrom(prepare(config, options).pipe(toArray()), { defaultValue: [] });
}

/** Stops a preparation by signal at its n-th event of a type. */
export async function prepareUntil(
  config: PrepareConfig,
  type: PrepareEvent['type'],
  count: number,
  options: PrepareOptions = offline,
): Promise<PrepareEvent[]> {
  const abort = new AbortController();
  let seen = 0;
  const events = prepare(config, { ...options, signal: abort.signal }).pipe(
    tap((event) => {
      if (event.type === type) seen += 1;
      if (seen === count) abort.abort();
    }),
    toArray(),
  );
  return lastValueFrom(events, { defaultValue: [] });
}

/** Two sources of different kinds, and the vocabulary of their letters: `texts.jsonl`, `texts.parquet`, `letters.txt`. */
export async function writeInputs(folder: string, documents: number): Promise<void> {
  await writeVocabulary(join(folder, 'letters.txt'));
  await writeJsonLines(join(folder, 'texts.jsonl'), makeTexts({ documents }));
  const others = makeTexts({ documents: Math.ceil(documents / 2), seed: 2 });
  const rows = others.map((text) => ({ text }));
  await writeFile(join(folder, 'texts.parquet'), await textParquet(rows, Math.ceil(rows.length / 6)));
}

/** Many small shards from the files that `writeInputs` made, mixed two to one, in the calling thread. */
export function mixedConfig(folder: string, input: PrepareInput = {}): PrepareConfig {
  return createPrepareConfig({
    sources: [`2:file:${join(folder, 'texts.jsonl')}`, `1:file:${join(folder, 'texts.parquet')}`],
    tokenizer: join(folder, 'letters.txt'),
    maxSeqLen: 64,
    validation: '10%',
    rowsPerShard: 256,
    workers: 0,
    out: join(folder, 'out'),
    ...input,
  });
}

/** A dataset whose files' hashes have been compared with the manifest. */
export async function openVerified(folder: string): Promise<Dataset> {
  const dataset = await openDataset(folder);
  for await (const event of verifyDataset(dataset)) {
    if (event.kind === 'damaged') throw new DamagedShard(event.name, event.damage, 'prepare it again');
  }
  return dataset;
}

/** All rows of a split in the order of the shards, whose hashes are compared with the manifest. */
export async function rowsIn(folder: string, split: Split): Promise<number[][]> {
  const dataset = await openVerified(folder);
  const { maxSeqLen } = dataset;
  const rows: number[][] = [];
  for (let group = 0; group < dataset.numGroups(split); group += 1) {
    const { ids, numRows } = await dataset.readGroup(split, group);
    for (let row = 0; row < numRows; row += 1) {
      rows.push(Array.from(ids.subarray(row * maxSeqLen, (row + 1) * maxSeqLen)));
    }
  }
  return rows;
}

/** A tokenizer of its own, to compare with. */
export async function tokenizerFrom(path: string): Promise<Tokenizer> {
  return createTokenizer(await loadTokenizer(path, offline.tokenizers));
}

/** What a preparation rejects with; fails when it succeeds. */
export async function failureOf(running: Promise<unknown>): Promise<{ code: string; message: string }> {
  const { code, message } = await running.then(
    () => {
      throw new Error('expected a failure, but it succeeded');
    },
    (error: unknown) => error as { code: string; message: string },
  );
  return { code, message };
}
