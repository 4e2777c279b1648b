import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { libraryFromPip, pipVersion } from '../../../../src/engine/setup/pip.ts';
import { makeZip } from '../../../support/archives.ts';
import { temporaryFolder } from '../../../support/folders.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text);

const tensorflowWheel = makeZip([
  { name: 'tensorflow/include/tensorflow/c/c_api.h', data: bytes('// C') },
  { name: 'tensorflow/libtensorflow_cc.so.2', data: bytes('main') },
  { name: 'tensorflow/libtensorflow_framework.so.2', data: bytes('CUDA_VISIBLE_DEVICES') },
  {
    name: `tensorflow-${pipVersion}.dist-info/METADATA`,
    data: bytes(
      [
        'Requires-Dist: numpy>=1.26.0',
        'Requires-Dist: nvidia-one-cu12<13.0,>=12.5; extra == "and-cuda"',
        'Requires-Dist: nvidia-two-cu12<10.0; extra == "and-cuda"',
        'Requires-Dist: other; extra == "and-cuda"',
      ].join('\n'),
    ),
  },
]);

function cudaWheel(name: string): Buffer {
  return makeZip([
    { name: `nvidia/${name}/lib/lib${name}.so.12`, data: bytes(name) },
    { name: `nvidia/${name}/include/${name}.h`, data: bytes('// C') },
    { name: `nvidia_${name}_cu12-12.dist-info/METADATA`, data: bytes('Name') },
  ]);
}

/** A pip that has the wheels above, takes the last argument as what is wanted, and writes down what that was. */
async function fakePip(folder: string): Promise<string> {
  await mkdir(join(folder, 'wheels'));
  await writeFile(join(folder, 'wheels', 'tensorflow.whl'), tensorflowWheel);
  for (const name of ['one', 'two']) {
    await writeFile(join(folder, 'wheels', `nvidia-${name}-cu12.whl`), cudaWheel(name));
  }
  const program = join(folder, 'python');
  await writeFile(
    program,
    `#!/bin/sh
while [ $# -gt 0 ]; do [ "$1" = --dest ] && dest="$2"; last="$1"; shift; done
echo "$last" >> ${join(folder, 'asked')}
name=$(echo "$last" | /usr/bin/sed 's/-cpu//; s/[=<>].*//')
exec /bin/cp "${join(folder, 'wheels')}/$name.whl" "$dest/"
`,
  );
  await chmod(program, 0o755);
  return program;
}

describe.skipIf(process.platform === 'win32')('libraryFromPip', () => {
  it.each([
    [false, []],
    [true, ['libone.so.12', 'libtwo.so.12']],
  ])(
    'unpacks the library, with GPU %s also the CUDA libraries it names, and no wheel stays',
    async (gpu, cuda) => {
      const folder = await temporaryFolder();
      const pip = { command: await fakePip(folder), version: 'pip' };
      const scratch = join(folder, 'scratch');
      const log: string[] = [];
      const library = await libraryFromPip(pip, gpu, scratch, (line) => log.push(line), {});
      expect(library.files.map(({ installName }) => installName)).toEqual([
        'libtensorflow_cc.so.2',
        'libtensorflow_framework.so.2',
      ]);
      const found: string[] = [];
      for (const name of gpu ? ['one', 'two'] : []) {
        expect(existsSync(join(library.cudaFolder!, name, 'include'))).toBe(false);
        found.push(...(await readdir(join(library.cudaFolder!, name, 'lib'))));
      }
      expect(found).toEqual(cuda);
      expect(library.cudaFolder === undefined).toBe(!gpu);
      expect(log.filter((line) => line.startsWith('downloading'))).toHaveLength(1 + cuda.length);
      expect((await readdir(join(scratch, 'download'))).filter((name) => name.endsWith('.whl'))).toEqual([]);
    },
  );
});
