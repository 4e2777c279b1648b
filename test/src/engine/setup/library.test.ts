import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openLibrary } from '../../../../src/engine/setup/library.ts';
import { makeTarGz, makeZip } from '../../../support/archives.ts';
import { temporaryFolder } from '../../../support/folders.ts';

const header = 'include/tensorflow/c/c_api.h';
const bytes = (text: string): Uint8Array => Buffer.from(text);

function put(folder: string, files: Readonly<Record<string, string>>): string {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

function namesOf(library: Awaited<ReturnType<typeof openLibrary>>): readonly string[] {
  return library.files.map(({ installName }) => installName);
}

describe('openLibrary', () => {
  it("finds the C library's archive: full names are kept under the loader's", async () => {
    const folder = await temporaryFolder();
    const archive = join(folder, 'libtensorflow-cpu-linux-x86_64.tar.gz');
    writeFileSync(
      archive,
      makeTarGz([
        { name: `./${header}`, data: bytes('// C') },
        { name: './lib/libtensorflow.so.2.9.1', data: bytes('main') },
        { name: './lib/libtensorflow.so.2', data: bytes(''), linkTo: 'libtensorflow.so.2.9.1' },
        { name: './lib/libtensorflow_framework.so.2.9.1', data: bytes('framework') },
      ]),
    );
    const library = await openLibrary(archive, join(folder, 'scratch'));
    expect(namesOf(library)).toEqual(['libtensorflow.so.2', 'libtensorflow_framework.so.2']);
    expect(library).toMatchObject({ gpu: false, isUnpacked: true, cudaFolder: undefined });
  });

  it('takes of a wheel the library and its headers, not the rest', async () => {
    const folder = await temporaryFolder();
    const wheel = join(folder, 'tensorflow-2.21.0-cp311.whl');
    writeFileSync(
      wheel,
      makeZip([
        { name: `tensorflow/${header}`, data: bytes('// C') },
        { name: 'tensorflow/libtensorflow_cc.so.2', data: bytes('main') },
        { name: 'tensorflow/libtensorflow_framework.so.2', data: bytes('reads CUDA_VISIBLE_DEVICES …') },
        { name: 'tensorflow/python/libtensorflow_io.py', data: bytes('import') },
      ]),
    );
    const library = await openLibrary(wheel, join(folder, 'scratch'));
    expect(namesOf(library)).toEqual(['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2']);
    expect(library.gpu).toBe(true);
    const rest = join(folder, 'scratch', 'tensorflow', 'python');
    await expect(import('node:fs/promises').then(({ stat }) => stat(rest))).rejects.toThrow('ENOENT');
  });

  it('leaves the files of a given folder in place, links left out', async () => {
    const folder = put(await temporaryFolder(), {
      [header]: '// C',
      'libtensorflow_cc.2.dylib': 'main',
      'libtensorflow_framework.2.16.1.dylib': 'framework',
    });
    symlinkSync('libtensorflow_cc.2.dylib', join(folder, 'libtensorflow_cc.dylib'));
    const library = await openLibrary(folder, join(folder, 'scratch'));
    expect(namesOf(library)).toEqual(['libtensorflow_cc.2.dylib', 'libtensorflow_framework.2.dylib']);
    expect(library.isUnpacked).toBe(false);
  });

  it.each([
    ['a folder without headers', { 'lib/libtensorflow.so.2': '' }, 'c_api.h is missing'],
    ['a folder without libraries', { [header]: '' }, 'libtensorflow.so or libtensorflow_cc.so is missing'],
  ])('refuses %s', async (_, files: Record<string, string>, message) => {
    const folder = put(await temporaryFolder(), files);
    await expect(openLibrary(folder, join(folder, 'scratch'))).rejects.toThrow(message);
  });

  it('refuses what does not exist and kinds that it does not know', async () => {
    const folder = put(await temporaryFolder(), { 'library.rpm': '' });
    await expect(openLibrary(join(folder, 'none.whl'), folder)).rejects.toThrow('does not exist');
    await expect(openLibrary(join(folder, 'library.rpm'), folder)).rejects.toThrow('of an unknown kind');
  });
});
