import { appendFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lastValueFrom, tap } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createPrepareConfig, type PrepareConfig } from '../../pipeline/config.ts';
import { prepare } from '../../pipeline/prepare.ts';
import { readManifest } from '../../pipeline/shards/manifest.ts';
import { filesBelow, hashesBelow, temporaryFolder } from '../support/folders.ts';
import {
  failureOf,
  mixedConfig,
  offline,
  prepareToEnd,
  prepareUntil,
  writeInputs,
} from '../support/preparations.ts';
import { textParquet } from '../support/text-parquet.ts';
import { makeTexts, writeJsonLines } from '../support/texts.ts';

const fixtures = join(import.meta.dirname, '../fixtures/parquet');

async function workplace(): Promise<{
  folder: string;
  configFor: (file: string, out: string) => PrepareConfig;
}> {
  const folder = await temporaryFolder();
  await writeInputs(folder, 2);
  const configFor = (file: string, out: string): PrepareConfig =>
    mixedConfig(folder, {
      sources: [`file:${join(folder, file)}`],
      out: join(folder, out),
      rowsPerShard: 128,
    });
  return { folder, configFor };
}

/** Shards and the digest of the source that the manifest names. */
async function resultOf(config: PrepareConfig): Promise<{ shards: string; digest: string | undefined }> {
  const files = Object.entries(await hashesBelow(config.out)).filter(([name]) => name.endsWith('.parquet'));
  const manifest = await readManifest(config.out);
  return { shards: JSON.stringify(files), digest: manifest?.sources[0]?.files[0]?.digest };
}

describe('a flipped bit in a local Parquet file', () => {
  it.each([
    ['with checksums', 'snappy-checksums-index.parquet', true],
    ['without checksums', 'snappy-dictionary-v1.parquet', false],
  ])(
    '%s is an error with file and byte, or another source by its digest',
    async (_how, name, hasChecksums) => {
      const { folder, configFor } = await workplace();
      const clean = await readFile(join(fixtures, name));
      await writeFile(join(folder, 'source.parquet'), clean);
      await prepareToEnd(configFor('source.parquet', 'clean'));
      const expected = await resultOf(configFor('source.parquet', 'clean'));
      let refused = 0;
      let altered = 0;
      for (let at = 0; at < clean.length; at += 463) {
        const flipped = Buffer.from(clean);
        flipped[at]! ^= 1 << (at % 8);
        await writeFile(join(folder, 'source.parquet'), flipped);
        const config = configFor('source.parquet', `flipped-${at}`);
        const outcome = await prepareToEnd(config).catch((error: unknown) => error as Error);
        if (outcome instanceof Error) {
          expect(outcome.message).toContain('source.parquet');
          expect(outcome.message).not.toContain('\n');
          refused += 1;
          continue;
        }
        const result = await resultOf(config);
        expect(result.digest).not.toBe(expected.digest);
        if (result.shards !== expected.shards) altered += 1;
      }
      expect(refused).toBeGreaterThan(4);
      // A checksum leaves nothing of a page's content out.
      if (hasChecksums) expect(altered).toBe(0);
    },
  );
});

describe('a source that changes', () => {
  it('between two runs is refused with both digests, whatever bit it is', async () => {
    const { folder, configFor } = await workplace();
    const source = join(folder, 'source.parquet');
    await copyFile(join(fixtures, 'none-delta-v2.parquet'), source);
    const config = createPrepareConfig({
      ...configFor('source.parquet', 'out'),
      validation: 0,
      rowsPerShard: 16,
      rowsPerGroup: 16,
    });
    await prepareUntil(config, 'committed', 1);
    const before = await hashesBelow(config.out);
    const clean = await readFile(source);
    for (let at = 4; at < clean.length; at += 1499) {
      const flipped = Buffer.from(clean);
      flipped[at]! ^= 1 << (at % 8);
      await writeFile(source, flipped);
      const { message } = await failureOf(prepareToEnd(config));
      expect(message).toMatch(/source\.parquet/);
      expect(message).not.toContain('\n');
      expect(await hashesBelow(config.out)).toEqual(before);
    }
    await writeFile(source, clean);
    await prepareToEnd(config);
    const whole = { ...config, out: join(folder, 'whole') };
    await prepareToEnd(whole);
    expect(await hashesBelow(config.out)).toEqual(await hashesBelow(whole.out));
  });

  /** Megabytes: more than any stage reads ahead. */
  const texts = makeTexts({ documents: 2000, maxWords: 800, seed: 3 });
  const jsonl = (part: readonly string[]): Buffer =>
    Buffer.from(part.map((text) => `${JSON.stringify({ text })}\n`).join(''));
  const parquet = (part: readonly string[]): Promise<Uint8Array> =>
    textParquet(
      part.map((text) => ({ text })),
      100,
    );
  const layouts = {
    'lines, in the file that is being read': async (folder: string) => {
      await writeFile(join(folder, 'a.jsonl'), jsonl(texts));
      return 'a.jsonl';
    },
    'lines, in a file to come': async (folder: string) => {
      await writeFile(join(folder, 'a.jsonl'), jsonl(texts));
      await writeFile(join(folder, 'b.jsonl'), jsonl(texts.slice(0, 500)));
      return 'b.jsonl';
    },
    'Parquet, in a file to come': async (folder: string) => {
      await writeFile(join(folder, 'a.jsonl'), jsonl(texts));
      await writeFile(join(folder, 'b.parquet'), await parquet(texts.slice(0, 500)));
      return 'b.parquet';
    },
  };
  /** At once, while the preparation waits for its event to be heard. */
  const changes: Readonly<Record<string, (path: string, content: Buffer) => void>> = {
    'in place, to the same size': (path, content) => {
      const other = Buffer.from(content);
      const [begin, end] = [content.length >> 2, content.length - 100_000];
      for (let at = begin; at < end; at += 1) if (other[at] === 0x61) other[at] = 0x62;
      writeFileSync(path, other);
    },
    'by growing': (path) => {
      appendFileSync(path, '{"text":"more"}\n');
    },
    'by losing its end': (path, content) => {
      truncateSync(path, content.length >> 1);
    },
    'to nothing': (path) => {
      truncateSync(path, 0);
    },
    'for another under its name': (path, content) => {
      writeFileSync(`${path}.new`, content.subarray(0, content.length >> 1));
      renameSync(`${path}.new`, path);
    },
  };

  describe.each(Object.entries(layouts))('while it is read (%s)', (_layout, write) => {
    let folder = '';
    let source = '';
    let content: Buffer;
    let whole = {};
    const configFor = (out: string): PrepareConfig =>
      mixedConfig(folder, {
        sources: [`file:${join(folder, 'sources')}`],
        maxSeqLen: 512,
        rowsPerShard: 1024,
        out: join(folder, out),
      });

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'taco-sources-'));
      await writeInputs(folder, 2);
      await mkdir(join(folder, 'sources'));
      source = join(folder, 'sources', await write(join(folder, 'sources')));
      content = await readFile(source);
      await prepareToEnd(configFor('whole'));
      whole = await hashesBelow(join(folder, 'whole'));
    });
    afterAll(() => rm(folder, { recursive: true, force: true }));

    it.each(Object.entries(changes))(
      '%s ends in one line, and nothing of it is kept',
      async (how, change) => {
        await writeFile(source, content);
        const config = configFor(how);
        let isChanged = false;
        const run = prepare(config, offline).pipe(
          tap(({ type }) => {
            if (type !== 'committed' || isChanged) return;
            isChanged = true;
            change(source, content);
          }),
        );
        const { message } = await failureOf(lastValueFrom(run, { defaultValue: undefined }));
        expect(message).toContain(source);
        expect(message).not.toContain('\n');
        // The old file again: what was noted is of it alone.
        await writeFile(source, content);
        await prepareToEnd(config);
        expect(await hashesBelow(config.out)).toEqual(whole);
      },
    );
  });

  it('only in its date is the same source', async () => {
    const { folder, configFor } = await workplace();
    await writeJsonLines(join(folder, 'source.jsonl'), texts.slice(0, 100));
    const config = configFor('source.jsonl', 'out');
    await prepareUntil(config, 'committed', 1);
    await utimes(join(folder, 'source.jsonl'), new Date(0), new Date(0));
    expect((await prepareToEnd(config)).at(-1)?.type).toBe('done');
  });
});

describe('a local source that is', () => {
  it.each([
    ['a Parquet file cut off', 'zstd-plain-v2.parquet', -100, /source\.parquet is not a whole Parquet file/],
    ['an empty Parquet file', 'zstd-plain-v2.parquet', 0, /source\.parquet is not a whole Parquet file/],
    ['a .gz cut off', 'documents.jsonl.gz', -20, /source\.jsonl\.gz is not a whole gzip file/],
    ['an empty .gz', 'documents.jsonl.gz', 0, /source\.jsonl\.gz is not a whole gzip file/],
    ['a .zst cut off', 'documents.jsonl.zst', -20, /source\.jsonl\.zst is not a whole zstd file/],
    ['JSON lines cut off', 'documents.jsonl', -5, /source\.jsonl:\d+/],
  ] as const)('%s ends in one line with its name', async (_what, fixture, length, message) => {
    const { folder, configFor } = await workplace();
    const name = fixture.replace(/^[^.]+/, 'source');
    const content = await readFile(join(fixtures, fixture));
    await writeFile(join(folder, name), content.subarray(0, length));
    const config = configFor(name, 'out');
    const error = await failureOf(prepareToEnd(config));
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('\n');
    const left = await filesBelow(config.out).catch(() => new Map<string, Buffer>());
    expect([...left.keys()].filter((file) => /tmp|lock/.test(file))).toEqual([]);
  });
});
