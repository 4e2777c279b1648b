import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findNativeTensorFlow, projectRoot } from '../../../../src/engine/native.ts';
import {
  headersPackage,
  type SetupOptions,
  setupTensorFlow,
} from '../../../../src/engine/setup/setup-tensorflow.ts';
import { makeZip } from '../../../support/archives.ts';
import { temporaryFolder } from '../../../support/folders.ts';

/** A path to a real wheel of TensorFlow makes the whole setup a test: minutes, and gigabytes of disk. */
const realWheel = process.env.TACO_TEST_TENSORFLOW_WHEEL;
const build = findNativeTensorFlow().candidates.find(({ origin }) => origin === 'setup');

interface Checkout {
  readonly root: string;
  readonly log: string[];
  /** The only folder with programs. */
  readonly bin: string;
  readonly options: SetupOptions;
  readonly builds: () => Promise<readonly string[]>;
}

/**
 * A checkout in which only programs that the test puts there are found. npm leaves the optional packages out where
 * their download fails, so small ones of their names and versions stand in for them.
 */
async function checkout(changes: Partial<SetupOptions> = {}, hasStandIns = true): Promise<Checkout> {
  const root = await temporaryFolder();
  const bin = join(root, 'bin');
  await mkdir(bin);
  const lock = await readFile(join(projectRoot, 'package-lock.json'), 'utf8');
  await writeFile(join(root, 'package-lock.json'), lock);
  const { packages } = JSON.parse(lock) as { packages: Record<string, { version: string } | undefined> };
  const standIns = ['@tensorflow/tfjs-node-gpu', 'google-protobuf', headersPackage.name];
  await mkdir(join(root, 'node_modules/@tensorflow'), { recursive: true });
  for (const name of hasStandIns ? standIns : []) {
    const version = packages[`node_modules/${name}`]?.version ?? headersPackage.version;
    const folder = join(root, 'node_modules', name);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'package.json'), JSON.stringify({ name, version, main: 'index.js' }));
  }
  await symlink(
    join(projectRoot, 'node_modules/@tensorflow/tfjs-core'),
    join(root, 'node_modules/@tensorflow/tfjs-core'),
  );
  const log: string[] = [];
  return {
    root,
    log,
    bin,
    options: { root, log: (line) => log.push(line), env: { PATH: bin }, ...changes },
    builds: () => readdir(join(root, 'cache', 'tensorflow')),
  };
}

async function putProgram(bin: string, name: string, script: string): Promise<void> {
  const file = join(bin, name);
  await writeFile(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, 0o755);
}

async function putLibrary(root: string): Promise<string> {
  const folder = join(root, 'given');
  for (const name of ['include/tensorflow/c/c_api.h', 'lib/libtensorflow.so.2.9.1']) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), '// not really');
  }
  return folder;
}

const compilerThatFails = `case "$1" in --version) echo cc 1.0;; *) echo "c_api.h:1: fatal error: boom" >&2; exit 1;; esac`;
/** Writes nonsense to the file after -o. */
const compilerOfNonsense = `[ "$1" = --version ] && { echo cc 1.0; exit 0; }
while [ $# -gt 0 ]; do [ "$1" = -o ] && echo nonsense > "$2"; shift; done`;

describe.skipIf(process.platform === 'win32')('setupTensorFlow', () => {
  it('lists everything that was tried where there is no compiler, Python or npm', async () => {
    const { options, builds } = await checkout({ gpu: false });
    await expect(setupTensorFlow(options)).rejects.toThrow(
      /^no TensorFlow was set up; nothing was changed\. Tried: pip's \S+ [\d.]+: no C\+\+ compiler runs \(tried [^)]+\).*; the download of npm's @tensorflow\/tfjs-node: [^\n]+$/,
    );
    expect(await builds()).toEqual([]);
  });

  it('says that Python is missing where there is a compiler', async () => {
    const { options, bin, builds } = await checkout({ gpu: true });
    await putProgram(bin, 'g++', compilerThatFails);
    await expect(setupTensorFlow(options)).rejects.toThrow('no Python with pip runs (tried python3, python)');
    expect(await builds()).toEqual([]);
  });

  it("passes on pip's complaint when there is no network", async () => {
    const { options, bin, builds } = await checkout({ gpu: false });
    await putProgram(bin, 'c++', compilerThatFails);
    const pip = `[ "$3" = --version ] && { echo pip 23; exit 0; }; echo "ERROR: No matching distribution" >&2; exit 1`;
    await putProgram(bin, 'python3', pip);
    await expect(setupTensorFlow(options)).rejects.toThrow(
      /pip cannot download tensorflow\S*==[\d.]+: ERROR: No matching distribution \(exit 1\)/,
    );
    expect(await builds()).toEqual([]);
  });

  it("leaves nothing of a build that does not compile, and shows the compiler's error", async () => {
    const { options, root, bin, builds, log } = await checkout();
    await putProgram(bin, 'c++', compilerThatFails);
    await expect(setupTensorFlow({ ...options, from: await putLibrary(root) })).rejects.toThrow(
      'c++ does not compile the binding: c_api.h:1: fatal error: boom (exit 1)',
    );
    expect(log).toContain('copying libtensorflow');
    expect(await builds()).toEqual([]);
  });

  it('leaves nothing of a build that does not load', async () => {
    const { options, root, bin, builds, log } = await checkout();
    await putProgram(bin, 'c++', compilerOfNonsense);
    await expect(setupTensorFlow({ ...options, from: await putLibrary(root) })).rejects.toThrow(
      /it does not work: TensorFlow of \S+ does not load: /,
    );
    expect(log).toContain('trying it in a child process');
    expect(await builds()).toEqual([]);
  });

  it.each([
    ['a corrupt wheel', 'bad.whl', 'not a wheel', 'bad.whl cannot be unpacked'],
    ['a corrupt archive', 'bad.tar.gz', 'not an archive', 'bad.tar.gz cannot be unpacked'],
    ['a wheel of something else', 'other.whl', makeZip([]), 'c_api.h is missing'],
  ])('leaves nothing of %s', async (_, name, data, message) => {
    const { options, root, bin, builds } = await checkout();
    await putProgram(bin, 'c++', compilerThatFails);
    const from = join(root, name);
    await writeFile(from, data);
    await expect(setupTensorFlow({ ...options, from })).rejects.toThrow(message);
    expect(await builds()).toEqual([]);
  });

  it('stops when it is interrupted, and leaves nothing', async () => {
    const abort = new AbortController();
    const { options, root, bin, builds } = await checkout({ signal: abort.signal });
    await putProgram(bin, 'c++', `[ "$1" = --version ] && { echo cc 1.0; exit 0; }; exec /bin/sleep 60`);
    const from = await putLibrary(root);
    const log = (line: string): void => {
      if (line.startsWith('compiling')) setTimeout(abort.abort.bind(abort), 50);
    };
    await expect(setupTensorFlow({ ...options, log, from })).rejects.toThrow(/abort/i);
    expect(await builds()).toEqual([]);
  });

  it('removes what a killed setup has left, and only that', async () => {
    const { options, root, builds } = await checkout({ gpu: false });
    const finishedPid = 2 ** 30;
    for (const name of [`.tmp-${finishedPid}`, `.tmp-${process.ppid}`, 'something']) {
      await mkdir(join(root, 'cache/tensorflow', name), { recursive: true });
    }
    await expect(setupTensorFlow(options)).rejects.toThrow('no C++ compiler runs');
    expect([...(await builds())].sort()).toEqual([`.tmp-${process.ppid}`, 'something']);
  });

  it.skipIf(build === undefined)(
    'says that it is already there, after it has tried it (skipped without a build)',
    async () => {
      const { options, root, log, builds } = await checkout({ gpu: false });
      const folder = join(dirname(build!.bindingFile), '..');
      await mkdir(join(root, 'cache/tensorflow'), { recursive: true });
      await symlink(folder, join(root, 'cache/tensorflow/present'));
      const result = await setupTensorFlow(options);
      expect(result).toMatchObject({ existed: true, device: 'CPU' });
      expect(result.record.tensorflowVersion).toMatch(/^2\./);
      expect(log).toEqual([]);
      expect(await builds()).toEqual(['present']);
    },
  );

  it.skipIf(build === undefined)(
    'makes a build again that no longer works, and keeps it when that fails (skipped without a build)',
    async () => {
      const { options, root, log, builds } = await checkout({ gpu: false });
      const folder = join(root, 'cache/tensorflow/broken');
      await mkdir(folder, { recursive: true });
      const record = join(dirname(build!.bindingFile), '..', 'build.json');
      await writeFile(join(folder, 'build.json'), await readFile(record));
      await expect(setupTensorFlow(options)).rejects.toThrow('no TensorFlow was set up');
      expect(log[0]).toMatch(/broken does not work \(.+\): making it again$/);
      expect(await builds()).toEqual(['broken']);
    },
  );

  it.skipIf(realWheel === undefined)(
    'builds, tries and keeps TensorFlow from a wheel (skipped unless TACO_TEST_TENSORFLOW_WHEEL names one)',
    { timeout: 600_000 },
    async () => {
      const { options, builds } = await checkout({ env: process.env }, false);
      const result = await setupTensorFlow({ ...options, from: realWheel! });
      expect(result.existed).toBe(false);
      expect(await builds()).toHaveLength(1);
      expect((await setupTensorFlow({ ...options, from: realWheel! })).existed).toBe(true);
    },
  );
});
