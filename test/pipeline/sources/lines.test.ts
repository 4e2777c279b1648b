import { existsSync, readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { textOfJsonLine } from '../../../pipeline/sources/json-lines.ts';
import { readLines, readWhole } from '../../../pipeline/sources/lines.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { rejectionOf } from '../../support/sources.ts';

async function linesOf(path: string, compression: 'none' | 'gzip' | 'zstd'): Promise<readonly string[]> {
  const lines: string[] = [];
  for await (const batch of readLines(path, compression)) {
    lines.push(...batch.lines.map((line) => Buffer.from(line).toString('latin1')));
  }
  return lines;
}

describe('readLines', () => {
  test('splits any bytes as a reference does', async () => {
    const folder = await temporaryFolder();
    const pieces = fc.array(fc.constantFrom('\n', '\r\n', '\r', 'a', '\xff\xfe', '\0', 'word '), {
      maxLength: 40,
    });
    await fc.assert(
      fc.asyncProperty(pieces, async (parts) => {
        const text = parts.join('');
        const path = join(folder, 'some.txt');
        await writeFile(path, text, 'latin1');
        const expected = text.split('\n');
        if (expected.at(-1) === '') expected.pop();
        expect(await linesOf(path, 'none')).toEqual(expected.map((line) => line.replace(/\r$/, '')));
      }),
      { numRuns: 60 },
    );
  });

  test('lines that cross the blocks of a large file, packed or not', async () => {
    const folder = await temporaryFolder();
    const lines = Array.from({ length: 40_000 }, (_, row) => `${row} ${'x'.repeat(row % 60)}`);
    const text = `${lines.join('\n')}\n`;
    await writeFile(join(folder, 'a.txt'), text);
    // Two members in one file, as `cat a.gz b.gz` makes them.
    const half = text.length >> 1;
    await writeFile(
      join(folder, 'a.txt.gz'),
      Buffer.concat([gzipSync(text.slice(0, half)), gzipSync(text.slice(half))]),
    );
    expect(await linesOf(join(folder, 'a.txt'), 'none')).toEqual(lines);
    expect(await linesOf(join(folder, 'a.txt.gz'), 'gzip')).toEqual(lines);
  });

  test('drops a byte order mark, and only at the start', async () => {
    const path = join(await temporaryFolder(), 'mark.txt');
    await writeFile(path, '\ufeffa\n\ufeffb');
    expect(await linesOf(path, 'none')).toEqual(['a', '\xef\xbb\xbfb']);
    expect(Buffer.from(await readWhole(path, 'none')).toString('utf8')).toBe('a\n\ufeffb');
  });

  test('says what is wrong with a file', async () => {
    const folder = await temporaryFolder();
    expect(await rejectionOf(linesOf(join(folder, 'none.txt'), 'none'))).toMatchObject({
      code: 'not-found',
      message: expect.stringMatching(/none\.txt does not exist; check the path/) as string,
    });
    for (const [name, compression] of [
      ['cut.gz', 'gzip'],
      ['cut.zst', 'zstd'],
      ['empty.gz', 'gzip'],
      ['empty.zst', 'zstd'],
    ] as const) {
      const path = join(folder, name);
      const numBytes = name.startsWith('empty') ? 0 : 30;
      await writeFile(path, gzipSync('text '.repeat(1000)).subarray(0, numBytes));
      expect(await rejectionOf(linesOf(path, compression))).toMatchObject({
        code: 'corrupt',
        message: expect.stringContaining(`${name} is not a whole ${compression} file`) as string,
      });
    }
  });

  test.skipIf(!existsSync('/proc/self/fd'))('leaving early closes the file', async () => {
    const path = join(await temporaryFolder(), 'long.txt');
    await writeFile(path, 'line\n'.repeat(200_000));
    const numOpen = () => readdirSync('/proc/self/fd').length;
    const before = numOpen();
    for (let round = 0; round < 20; round++) {
      for await (const batch of readLines(path, 'none')) {
        expect(batch.lines.length).toBeGreaterThan(0);
        break;
      }
    }
    await vi.waitFor(() => {
      expect(numOpen()).toBeLessThan(before + 5);
    });
  });

  test('a cut Zstandard file is not a shorter one', async () => {
    const whole = await readFile(join(import.meta.dirname, '../../fixtures/parquet/documents.jsonl.zst'));
    const path = join(await temporaryFolder(), 'cut.zst');
    for (const length of [10, 1000, whole.length - 1]) {
      await writeFile(path, whole.subarray(0, length));
      expect(await rejectionOf(linesOf(path, 'zstd'))).toMatchObject({ code: 'corrupt' });
    }
  });
});

describe('textOfJsonLine', () => {
  const read = (line: string | Uint8Array) =>
    textOfJsonLine(Buffer.from(line as string), 'text', () => 'a.jsonl:7');

  test('gives the bytes of the field', () => {
    expect(read('{"id": 1, "text": "caf\\u00e9 \\ud83d\\ude42"}')).toEqual(Buffer.from('café 🙂'));
    expect(read('{"text": null}')).toBeNull();
    const malformed = Buffer.concat([Buffer.from('{"text":"a'), Buffer.from([0xff]), Buffer.from('b"}')]);
    expect(read(malformed)).toEqual(Buffer.from('a\ufffdb'));
  });

  test.each([
    ['{"id": 1', 'a.jsonl:7 is not JSON ({"id": 1); expected one object a line'],
    ['[1]', 'a.jsonl:7 holds [1], expected a JSON object with field text'],
    [
      '{"id": 1, "content": ""}',
      'a.jsonl:7 has no field text; its fields are id, content: name one with #field',
    ],
    ['{"text": 5}', 'a.jsonl:7 has number in field text, expected text'],
    ['{"__proto__": 5}', 'a.jsonl:7 has no field text; its fields are __proto__: name one with #field'],
  ])('%s', (line, message) => {
    expect(() => read(line)).toThrow(message);
  });
});
