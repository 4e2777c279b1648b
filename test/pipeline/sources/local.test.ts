import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { resolveSource } from '../../../pipeline/sources/resolve.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { chunksOf, rejectionOf, summariesOf, textOf, textsOf } from '../../support/sources.ts';
import { textParquet } from '../../support/text-parquet.ts';

const FIXTURES = join(import.meta.dirname, '../../fixtures/parquet');

async function folderWith(files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  const folder = await temporaryFolder();
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(folder, path, '..'), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return folder;
}

/** What a download that lost its beginning leaves: whole footer, rows elsewhere. */
function withoutBeginning(parquet: Uint8Array): Uint8Array {
  return parquet.subarray(parquet.length / 2);
}

describe('local files', () => {
  test('plain text: a document a line, empty lines left out', async () => {
    const workingFolder = await folderWith({ 'a.txt': 'one\n\ntwo\r\nthree' });
    const source = await resolveSource('file:a.txt', { workingFolder });
    expect(await textsOf(source)).toEqual(['one', 'two', 'three']);
    expect(source.identity).toEqual({
      spec: 'file:a.txt',
      kind: 'file',
      column: 'lines',
      files: [
        { path: 'a.txt', sizeBytes: 15, digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string },
      ],
    });
  });

  test('plain text: a document a file with #file', async () => {
    const workingFolder = await folderWith({ 'b/2.txt': 'second\nbook', 'b/10.txt': 'tenth', 'b/1.txt': '' });
    const source = await resolveSource('2:file:b/*.txt#file', { workingFolder });
    expect(await textsOf(source)).toEqual(['tenth', 'second\nbook']);
    expect(source.identity.weight).toBe(2);
  });

  test('a folder gives all it can read, in the order of the paths', async () => {
    const workingFolder = await folderWith({
      'd/z.txt': 'z',
      'd/a/b.jsonl': '{"text":"b"}\n\n{"text":null}\n{"text":"c"}\n',
      'd/notes.pdf': 'no',
      'd/M.txt': 'M',
    });
    const source = await resolveSource('file:d/', { workingFolder });
    expect(source.identity.files.map(({ path }) => path)).toEqual(['d/M.txt', 'd/a/b.jsonl', 'd/z.txt']);
    expect(await textsOf(source)).toEqual(['M', 'b', 'c', 'z']);
  });

  test('a name with glob characters is taken as it is when it exists', async () => {
    const workingFolder = await folderWith({ 'a[1].txt': 'bracket', 'a1.txt': 'match' });
    expect(await textsOf(await resolveSource('file:a[1].txt', { workingFolder }))).toEqual(['bracket']);
  });

  test('malformed UTF-8 stays as it is', async () => {
    const workingFolder = await folderWith({ 'a.txt': Buffer.from([0x61, 0xff, 0xe2, 0x82, 0x0a, 0x62]) });
    const [chunk] = await chunksOf(await resolveSource('file:a.txt', { workingFolder }));
    expect([...textOf(chunk!.documents).text]).toEqual([0x61, 0xff, 0xe2, 0x82, 0x62]);
  });

  test('another content is another digest', async () => {
    const workingFolder = await folderWith({ 'a.txt': 'one' });
    const digest = async () =>
      (await resolveSource('file:a.txt', { workingFolder })).identity.files[0]!.digest;
    const before = await digest();
    expect(await digest()).toBe(before);
    await writeFile(join(workingFolder, 'a.txt'), 'two');
    expect(await digest()).not.toBe(before);
  });

  test.each([
    [
      'file:*.none',
      'not-found',
      /--source file:\*\.none matches no file in .*; check the path or quote the pattern/,
    ],
    ['file:a.csv', 'bad-config', /^a\.csv has an unknown format; expected \.parquet, \.jsonl/],
    [
      'file:a.txt#body',
      'bad-config',
      /^a\.txt is plain text and has no column body; expected #lines or #file/,
    ],
    ['file:a.parquet.gz', 'bad-config', /is packed Parquet/],
    [
      'file:a.jsonl#body',
      'not-found',
      /a\.jsonl:3 has no field body; its fields are text: name one with #field/,
    ],
    [
      'file:cut.parquet',
      'corrupt',
      /cut\.parquet is not a whole Parquet file \(row group 0 should lie at bytes/,
    ],
    ['file:fake.parquet', 'corrupt', /fake\.parquet is not a whole Parquet file \(.*\); fetch it again/],
    ['file:tiny.parquet', 'corrupt', /tiny\.parquet is not a whole Parquet file \(it has 3 bytes\)/],
  ])('%s', async (spec, code, message) => {
    const workingFolder = await folderWith({
      'a.csv': '1',
      'a.txt': 'x',
      'a.jsonl': '\n{"body":null}\n{"text":"x"}\n',
      'cut.parquet': withoutBeginning(
        await textParquet(Array.from({ length: 100 }, (_, row) => ({ text: `${row} `.repeat(30) }))),
      ),
      'a.parquet.gz': '',
      'fake.parquet': 'not parquet at all, but long enough',
      'tiny.parquet': 'abc',
    });
    const error = await rejectionOf(resolveSource(spec, { workingFolder }));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  test('a JSON line without the field is named with its number', async () => {
    const workingFolder = await folderWith({
      'a.jsonl': `${'{"text":"x"}\n'.repeat(40_000)}{"body":"y"}\n`,
    });
    const source = await resolveSource('file:a.jsonl', { workingFolder });
    const error = await rejectionOf(textsOf(source));
    expect(error.message).toMatch(
      /a\.jsonl:40001 has no field text; its fields are body: name one with #field/,
    );
  });

  test('every format resumes at every chunk', async () => {
    const lines = Array.from({ length: 30_000 }, (_, row) =>
      row % 11 === 3 ? '' : `${row} ${'y'.repeat(row % 90)}`,
    );
    const workingFolder = await folderWith({
      'm/a.txt': lines.join('\n'),
      'm/b.jsonl': lines.map((text) => JSON.stringify({ text })).join('\n'),
      'm/c.parquet': await readFile(join(FIXTURES, 'snappy-dictionary-v1.parquet')),
      'm/d.jsonl.zst': await readFile(join(FIXTURES, 'documents.jsonl.zst')),
    });
    const source = await resolveSource('file:m', { workingFolder });
    const chunks = await chunksOf(source);
    expect(chunks.length).toBeGreaterThan(5);
    expect(chunks.at(-1)).toMatchObject({
      next: { file: 4, group: 0, row: 0 },
      inputBytes: source.totalBytes,
    });
    for (const [index, { next }] of chunks.entries()) {
      const tail = summariesOf(await chunksOf(source, next));
      expect(tail).toEqual(summariesOf(chunks.slice(index + 1)));
    }
    const progress = chunks.map(({ inputBytes }) => inputBytes);
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
  });
});
