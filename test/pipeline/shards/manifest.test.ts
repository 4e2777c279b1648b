import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { TacoError } from '../../../pipeline/errors.ts';
import {
  canonicalJson,
  fingerprintOf,
  parseManifest,
  readManifest,
  serializeManifest,
  shardFile,
  writeManifest,
} from '../../../pipeline/shards/manifest.ts';
import { filesBelow, temporaryFolder } from '../../support/folders.ts';
import { cursorAt, manifestWith, shardLine } from '../../support/manifests.ts';

const end = cursorAt(7, { train: [], validation: [101, 2023] });
const manifest = manifestWith({
  shards: [shardLine('train/00000.parquet', end), shardLine('validation/00000.parquet', end)],
});

function errorOf(action: () => unknown): TacoError {
  try {
    action();
  } catch (error) {
    if (error instanceof TacoError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('text of a manifest', () => {
  it('comes back as it was, one shard a line', () => {
    const text = serializeManifest(manifest);
    expect(parseManifest(text, 'manifest.json')).toEqual(manifest);
    expect(text.split('\n').filter((line) => line.includes('.parquet","rows"'))).toHaveLength(2);
    const empty = manifestWith();
    expect(parseManifest(serializeManifest(empty), 'manifest.json')).toEqual(empty);
  });

  it('is refused when any one byte of it has a flipped bit, without a stack trace', () => {
    const text = Buffer.from(serializeManifest(manifest));
    const survived: string[] = [];
    for (let index = 0; index < text.length; index += 1) {
      const altered = Buffer.from(text);
      altered[index]! ^= 1;
      try {
        const parsed = parseManifest(altered.toString(), 'manifest.json');
        // White space is no content, and is all that may be altered unseen.
        if (canonicalJson(parsed) !== canonicalJson(manifest)) survived.push(altered.toString());
      } catch (error) {
        expect(error).toBeInstanceOf(TacoError);
        expect((error as TacoError).message).not.toContain('\n');
      }
    }
    expect(survived).toEqual([]);
  });

  it.each([
    ['an empty file', '', /not JSON/],
    ['a truncated file', '{"schemaVersion": 2', /not JSON/],
    ['a list', '[]', /not a JSON object/],
    ['a file without content', '{"schemaVersion":2}', /damaged: status/],
    ['an altered number', serializeManifest(manifest).replace('"rows":4', '"rows":5'), /checksum/],
  ])('%s is damaged', (_name, text, message) => {
    const error = errorOf(() => parseManifest(text, 'some/manifest.json'));
    expect(error).toMatchObject({ code: 'corrupt', path: 'some/manifest.json' });
    expect(error.message).toMatch(message);
  });

  it('of another version is refused with both versions', () => {
    const text = serializeManifest(manifest).replace('"schemaVersion": 2', '"schemaVersion": 1');
    const error = errorOf(() => parseManifest(text, 'manifest.json'));
    expect(error.code).toBe('mismatch');
    expect(error.message).toContain('version 2');
    expect(error.message).toContain('version 1');
  });
});

describe('fingerprint', () => {
  it('follows what decides the rows and nothing else', () => {
    const base = fingerprintOf(manifest);
    const { settings, sources, tokenizer } = manifest;
    expect(fingerprintOf({ ...manifest, shards: [], status: 'complete' } as typeof manifest)).toBe(base);
    expect(fingerprintOf({ ...manifest, tokenizer: { ...tokenizer, reference: 'bert-base-uncased' } })).toBe(
      base,
    );
    expect(fingerprintOf({ ...manifest, sources: [{ ...sources[0]!, spec: 'wikipedia:20231101.en' }] })).toBe(
      base,
    );
    const others = [
      fingerprintOf({ ...manifest, settings: { ...settings, maxSeqLen: 9 } }),
      fingerprintOf({ ...manifest, settings: { ...settings, seed: 43 } }),
      fingerprintOf({ ...manifest, tokenizer: { ...tokenizer, fingerprint: '1'.repeat(64) } }),
      fingerprintOf({ ...manifest, sources: [{ ...sources[0]!, commit: 'c0ffee' }] }),
      fingerprintOf({ ...manifest, sources: [...sources, ...sources] }),
    ];
    expect(new Set([base, ...others]).size).toBe(others.length + 1);
  });

  it('does not depend on the order of keys', () => {
    expect(canonicalJson({ b: [{ d: 1, c: 2 }], a: null })).toBe('{"a":null,"b":[{"c":2,"d":1}]}');
  });
});

describe('manifest of a folder', () => {
  it('is undefined where there is none, and what was written where there is one', async () => {
    const folder = await temporaryFolder();
    expect(await readManifest(folder)).toBeUndefined();
    expect(await readManifest(join(folder, 'nowhere'))).toBeUndefined();
    await writeManifest(folder, manifestWith());
    await writeManifest(folder, manifest);
    expect(await readManifest(folder)).toEqual(manifest);
    expect([...(await filesBelow(folder)).keys()]).toEqual(['manifest.json']);
  });

  it('cannot be read where a folder has its name, and says so', async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, 'manifest.json'));
    await expect(readManifest(folder)).rejects.toMatchObject({ code: 'disk' });
    await writeFile(join(folder, 'file'), 'x');
    await expect(writeManifest(join(folder, 'file'), manifest)).rejects.toMatchObject({ code: 'disk' });
  });

  it('names shards so that they sort', () => {
    expect([shardFile('train', 0), shardFile('validation', 12_345)]).toEqual([
      'train/00000.parquet',
      'validation/12345.parquet',
    ]);
  });
});
