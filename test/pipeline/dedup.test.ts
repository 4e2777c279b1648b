import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lastValueFrom, tap, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { createPrepareConfig, type PrepareConfig, type PrepareInput } from '../../pipeline/config.ts';
import { type PrepareEvent, type PrepareOptions, prepare } from '../../pipeline/prepare.ts';
import { readManifest } from '../../pipeline/shards/manifest.ts';
import { hashesBelow, temporaryFolder } from '../support/folders.ts';
import { makeTexts, writeJsonLines, writeVocabulary } from '../support/texts.ts';

const offline: PrepareOptions = {
  sources: {},
  tokenizers: { fetchHubFile: () => Promise.reject(new Error('no network in this test')) },
};

async function workplace(
  sources: readonly (readonly string[])[],
  input: PrepareInput = {},
): Promise<PrepareConfig> {
  const folder = await temporaryFolder();
  await writeVocabulary(join(folder, 'letters.txt'));
  for (const [index, texts] of sources.entries()) {
    await writeJsonLines(join(folder, `texts-${index}.jsonl`), texts);
  }
  return createPrepareConfig({
    sources: sources.map((_, index) => `file:${join(folder, `texts-${index}.jsonl`)}`),
    tokenizer: join(folder, 'letters.txt'),
    maxSeqLen: 64,
    validation: '10%',
    rowsPerShard: 128,
    rowsPerGroup: 32,
    workers: 0,
    dedup: 'exact',
    out: join(folder, 'out'),
    ...input,
  });
}

function run(config: PrepareConfig, options: PrepareOptions = offline): Promise<PrepareEvent[]> {
  return lastValueFrom(prepare(config, options).pipe(toArray()), { defaultValue: [] });
}

async function shardHashes({ out }: PrepareConfig): Promise<Record<string, string>> {
  const all = await hashesBelow(out);
  return Object.fromEntries(Object.entries(all).filter(([name]) => name.endsWith('.parquet')));
}

const texts = makeTexts({ documents: 600 });
const unique = [...new Set(texts)].filter((text) => text !== '');
/** Every document again: at once, much later, and in another source. */
const repeated = [...unique.flatMap((text, index) => (index % 3 === 0 ? [text, text] : [text])), ...unique];

describe('--dedup exact', () => {
  it('keeps the first of equal documents, over all sources, and counts the others', async () => {
    const expected = await workplace([unique], { dedup: 'none' });
    await run(expected);
    const config = await workplace([repeated, unique]);
    await run(config);
    expect(await shardHashes(config)).toEqual(await shardHashes(expected));
    const [manifest, plain] = [await readManifest(config.out), await readManifest(expected.out)];
    expect(manifest?.totals).toMatchObject({
      documents: repeated.length + unique.length,
      duplicateDocuments: repeated.length,
      duplicateTokens: manifest!.totals.textTokens - plain!.totals.textTokens,
    });
    expect(plain?.totals.duplicateDocuments).toBe(0);
  });

  it('gives the same bytes however often it is stopped, and with any number of workers', async () => {
    const whole = await workplace([repeated, unique]);
    await run(whole);
    const stopped = { ...whole, out: `${whole.out}-stopped` };
    for (let round = 0; round < 40; round += 1) {
      const abort = new AbortController();
      let commits = 0;
      const events$ = prepare({ ...stopped, workers: round % 3 }, { ...offline, signal: abort.signal }).pipe(
        tap(({ type }) => {
          if (type === 'committed') commits += 1;
          if (commits === 1) abort.abort();
        }),
        toArray(),
      );
      const last = (await lastValueFrom(events$, { defaultValue: [] })).at(-1);
      if (last?.type === 'done') break;
    }
    expect(await hashesBelow(stopped.out)).toEqual(await hashesBelow(whole.out));
    expect((await readManifest(stopped.out))?.seen.length).toBeGreaterThan(3);
  });

  it('makes a damaged shard again as it was', async () => {
    const config = await workplace([repeated]);
    await run(config);
    const before = await hashesBelow(config.out);
    const names = Object.keys(before).filter((name) => name.startsWith('train/'));
    expect(names.length).toBeGreaterThan(3);
    await writeFile(join(config.out, names[2]!), 'damaged');
    await rm(join(config.out, names.at(-1)!));
    await run(config);
    expect(await hashesBelow(config.out)).toEqual(before);
  });

  it('is a setting that does not mix', async () => {
    const config = await workplace([repeated]);
    await run(config);
    await expect(run({ ...config, dedup: 'none' })).rejects.toThrow(
      /was prepared with --dedup exact, now it is --dedup none/,
    );
  });
});
