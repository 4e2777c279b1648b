import { readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { extractTarGz, extractZip, readZipText } from '../../../../src/engine/setup/archives.ts';
import { type ArchiveFile, makeTarGz, makeZip } from '../../../support/archives.ts';
import { temporaryFolder } from '../../../support/folders.ts';

const kinds = [
  {
    kind: 'zip',
    make: makeZip,
    extract: async (file: string, folder: string) => {
      await extractZip(file, folder, () => true);
    },
  },
  {
    kind: 'tar.gz',
    make: makeTarGz,
    extract: (file: string, folder: string) => extractTarGz(file, folder, 0),
  },
] as const;

const text = (value: string): Uint8Array => Buffer.from(value);

/** Incompressible bytes, so that a big file stays big in the archive. */
function noise(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0, state = 1; i < length; i += 1) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

describe.each(kinds)('$kind archives', ({ make, extract, kind }) => {
  it('unpack to what was packed', async () => {
    const fileNames = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,8}(\/[a-z]{1,70}){1,2}$/), {
      minLength: 1,
      maxLength: 6,
      // A name that is another's folder cannot be a file too.
      comparator: (a, b) => a === b || a.startsWith(`${b}/`) || b.startsWith(`${a}/`),
    });
    const archives = fileNames.chain((names) =>
      fc.tuple(...names.map((name) => fc.uint8Array({ maxLength: 2000 }).map((data) => ({ name, data })))),
    );
    const folder = await temporaryFolder();
    let count = 0;
    await fc.assert(
      fc.asyncProperty(archives, async (files: readonly ArchiveFile[]) => {
        const target = join(folder, String(count));
        const archive = join(folder, `${count}.${kind}`);
        count += 1;
        writeFileSync(archive, make(files));
        await extract(archive, target);
        for (const { name, data } of files) {
          expect(new Uint8Array(readFileSync(join(target, name)))).toEqual(data);
        }
      }),
      { numRuns: 30 },
    );
    expect(count).toBeGreaterThanOrEqual(30);
  });

  it('stream big files', async () => {
    const folder = await temporaryFolder();
    const archive = join(folder, 'a');
    const big = noise(3_000_001);
    writeFileSync(
      archive,
      make([
        { name: 'x/deflated', data: big },
        { name: 'x/stored', data: big },
      ]),
    );
    await extract(archive, join(folder, 'out'));
    for (const name of ['deflated', 'stored']) {
      expect(readFileSync(join(folder, 'out/x', name)).equals(big)).toBe(true);
    }
  });

  it('are refused in one line when cut short anywhere', async () => {
    const folder = await temporaryFolder();
    const whole = make([
      { name: 'a', data: noise(2000) },
      { name: 'b', data: noise(1_200_000) },
    ]);
    const archive = join(folder, 'cut');
    for (const share of [0, 0.001, 0.3, 0.9]) {
      writeFileSync(archive, whole.subarray(0, Math.floor(whole.length * share)));
      await expect(extract(archive, join(folder, `out${share}`))).rejects.toMatchObject({
        name: 'TacoError',
        code: 'corrupt',
        message: expect.stringMatching(/^\S+ cannot be unpacked[^\n]+$/) as string,
      });
    }
  });

  it('may not write outside of their folder', async () => {
    const folder = await temporaryFolder();
    const archive = join(folder, 'evil');
    writeFileSync(archive, make([{ name: '../evil.txt', data: text('x') }]));
    await expect(extract(archive, join(folder, 'out'))).rejects.toMatchObject({ code: 'corrupt' });
    expect((await readdir(folder)).sort()).not.toContain('evil.txt');
  });
});

describe('zip archives', () => {
  it('are refused when a file does not unpack to its size', async () => {
    const folder = await temporaryFolder();
    const archive = join(folder, 'a.zip');
    const bytes = makeZip([{ name: 'some-name', data: Buffer.alloc(5000, 'abc') }]);
    bytes.fill(0xff, 45, 60);
    writeFileSync(archive, bytes);
    await expect(extractZip(archive, folder, () => true)).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('leave out what is not wanted', async () => {
    const folder = await temporaryFolder();
    const archive = join(folder, 'a.zip');
    writeFileSync(
      archive,
      makeZip([
        { name: 'x/yes', data: text('yes') },
        { name: 'no', data: text('no') },
      ]),
    );
    expect(await extractZip(archive, join(folder, 'out'), (name) => name !== 'no')).toBe(1);
    expect(await readdir(join(folder, 'out'))).toEqual(['x']);
  });

  it('show one text, where it is there', async () => {
    const archive = join(await temporaryFolder(), 'a.zip');
    writeFileSync(archive, makeZip([{ name: 'x/METADATA', data: text('Name: y') }]));
    expect(await readZipText(archive, '/METADATA')).toBe('Name: y');
    expect(await readZipText(archive, '/other')).toBeUndefined();
  });
});

describe('tar.gz archives', () => {
  it('leave out leading folders', async () => {
    const folder = await temporaryFolder();
    const archive = join(folder, 'a.tgz');
    writeFileSync(archive, makeTarGz([{ name: 'package/dist/a.js', data: text('x') }]));
    await extractTarGz(archive, join(folder, 'out'), 1);
    expect(await readdir(join(folder, 'out'))).toEqual(['dist']);
  });

  it('keep symbolic links inside of the folder, and refuse others', async () => {
    const folder = await temporaryFolder();
    const archive = join(folder, 'a.tgz');
    const link = (linkTo: string): ArchiveFile => ({ name: 'lib/short', data: text(''), linkTo });
    writeFileSync(archive, makeTarGz([{ name: 'lib/long', data: text('x') }, link('long')]));
    await extractTarGz(archive, join(folder, 'good'), 0);
    expect(readlinkSync(join(folder, 'good/lib/short'))).toBe('long');
    writeFileSync(archive, makeTarGz([link('../../outside')]));
    await expect(extractTarGz(archive, join(folder, 'bad'), 0)).rejects.toMatchObject({ code: 'corrupt' });
  });
});
