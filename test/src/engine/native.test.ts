import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import util from 'node:util';
import { describe, expect, it } from 'vitest';
import { openBackend } from '../../../src/engine/backend.ts';
import {
  findNativeTensorFlow,
  loadNativeTensorFlow,
  projectRoot,
  quietName,
} from '../../../src/engine/native.ts';
import type { BuildRecord } from '../../../src/engine/setup/build-record.ts';
import { runProcess } from '../../../src/engine/setup/run-process.ts';
import { hasTensorFlow } from '../../support/backends.ts';
import { temporaryFolder } from '../../support/folders.ts';

const gpuPackage = '@tensorflow/tfjs-node-gpu';

const hasQuiet = findNativeTensorFlow().candidates.some(({ bindingFile }) =>
  existsSync(join(dirname(bindingFile), quietName)),
);

function put(path: string, text = ''): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** A checkout with nothing but a package.json. */
async function emptyRoot(): Promise<string> {
  const root = await temporaryFolder();
  put(join(root, 'package.json'), '{}');
  return root;
}

function putBuild(root: string, name: string, changes: Partial<BuildRecord> = {}): void {
  const record: BuildRecord = {
    schemaVersion: 1,
    tensorflowVersion: '2.21.0',
    gpu: false,
    platform: process.platform,
    arch: process.arch,
    packageName: gpuPackage,
    packageVersion: '4.22.0',
    origin: 'test',
    bindingFile: 'tensorflow/tfjs_binding.node',
    ...changes,
  };
  put(join(root, 'cache/tensorflow', name, 'build.json'), JSON.stringify(record));
}

function bindingsFound(root: string): readonly string[] {
  return findNativeTensorFlow(root).candidates.map(({ bindingFile }) =>
    bindingFile.slice(root.length + 1).replaceAll('\\', '/'),
  );
}

describe('findNativeTensorFlow', () => {
  it('says of each place why there is none', async () => {
    const { candidates, absent } = findNativeTensorFlow(await emptyRoot());
    expect(candidates).toEqual([]);
    expect(absent).toEqual([
      'no build of setup:tensorflow',
      '@tensorflow/tfjs-node-gpu is not installed',
      '@tensorflow/tfjs-node is not installed',
    ]);
  });

  it('knows a package that npm left without its binding', async () => {
    const root = await emptyRoot();
    put(join(root, 'node_modules', gpuPackage, 'package.json'), '{"version":"4.22.0"}');
    expect(findNativeTensorFlow(root).absent).toContain(
      `${gpuPackage} is installed without its native binding`,
    );
  });

  it('takes the newest N-API that this Node offers', async () => {
    const root = await emptyRoot();
    const folder = join(root, 'node_modules', gpuPackage);
    put(join(folder, 'package.json'), '{"version":"4.22.0"}');
    for (const version of [7, 8, 999]) put(join(folder, `lib/napi-v${version}/tfjs_binding.node`));
    expect(bindingsFound(root)).toEqual([`node_modules/${gpuPackage}/lib/napi-v8/tfjs_binding.node`]);
  });

  it('takes builds of setup:tensorflow first: GPU before CPU, newer before older, this platform only', async () => {
    const root = await emptyRoot();
    putBuild(root, 'old', { tensorflowVersion: '2.9.1' });
    putBuild(root, 'new', { tensorflowVersion: '2.21.0' });
    putBuild(root, 'elsewhere', { tensorflowVersion: '3.0.0', platform: 'aix' });
    put(join(root, 'cache/tensorflow/broken/build.json'), '{');
    put(join(root, 'cache/tensorflow/foreign/build.json'), '{"schemaVersion":2}');
    put(join(root, 'cache/tensorflow/.tmp-1/build/build.json'), '{}');
    expect(bindingsFound(root)).toEqual(['cache/tensorflow/new/tensorflow/tfjs_binding.node']);
    putBuild(root, 'cuda', { tensorflowVersion: '2.9.1', gpu: true });
    expect(bindingsFound(root)).toEqual(['cache/tensorflow/cuda/tensorflow/tfjs_binding.node']);
    rmSync(join(root, 'cache/tensorflow/cuda/build.json'));
    rmSync(join(root, 'cache/tensorflow/new/build.json'));
    expect(bindingsFound(root)).toEqual(['cache/tensorflow/old/tensorflow/tfjs_binding.node']);
  });
});

describe('loadNativeTensorFlow', () => {
  it('says in one line that a binding is no library', async () => {
    const packageFolder = join(projectRoot, 'cache/tensorflow/absent');
    const bindingFile = join(await temporaryFolder(), 'tfjs_binding.node');
    put(bindingFile, 'not a library');
    expect(() =>
      loadNativeTensorFlow({ origin: 'setup', packageName: gpuPackage, packageFolder, bindingFile }),
    ).toThrow(/^TensorFlow of \S+ does not load: [^\n]+$/);
  });

  it('refuses a package that brings a tfjs-core of its own', async () => {
    const root = await emptyRoot();
    const packageFolder = join(root, 'node_modules', gpuPackage);
    put(join(packageFolder, 'package.json'), '{"version":"4.22.0"}');
    put(join(root, 'node_modules/@tensorflow/tfjs/package.json'), '{}');
    put(join(root, 'node_modules/@tensorflow/tfjs-core/package.json'), '{"version":"4.1.0"}');
    expect(() =>
      loadNativeTensorFlow({ origin: 'npm', packageName: gpuPackage, packageFolder, bindingFile: 'none' }),
    ).toThrow(/brings its own tfjs-core 4\.1\.0, expected to share \d/);
  });

  it.skipIf(!hasTensorFlow)(
    'gives back util.isNullOrUndefined, which newer Nodes lack and tfjs-node calls (skipped without TensorFlow)',
    () => {
      Reflect.deleteProperty(util, 'isNullOrUndefined');
      loadNativeTensorFlow(findNativeTensorFlow().candidates[0]!);
      const restored = Reflect.get(util, 'isNullOrUndefined') as (value: unknown) => boolean;
      expect([null, undefined, 0, ''].map(restored)).toEqual([true, true, false, false]);
    },
  );
});

describe('openBackend', () => {
  it('teaches how to get TensorFlow where it is asked for and absent', async () => {
    await expect(openBackend('tensorflow', { root: await emptyRoot() })).rejects.toThrow(
      /^no native TensorFlow for --backend tensorflow \(.*not installed.*\): run npm run setup:tensorflow, or take --backend wasm$/,
    );
  });

  it('is WebAssembly for auto without TensorFlow, with the reasons, and leaves error handling alone', async () => {
    const root = await emptyRoot();
    putBuild(root, 'broken');
    put(join(root, 'cache/tensorflow/broken/tensorflow/tfjs_binding.node'), 'not a library');
    const handlers = process.listenerCount('uncaughtException');
    const backend = await openBackend('auto', { root });
    expect(backend).toMatchObject({
      name: 'wasm',
      device: 'CPU',
      packageName: '@tensorflow/tfjs-backend-wasm',
    });
    expect(backend.notes[0]).toContain('does not load');
    expect(backend.notes.slice(1)).toEqual([
      '@tensorflow/tfjs-node-gpu is not installed',
      '@tensorflow/tfjs-node is not installed',
    ]);
    expect(process.listenerCount('uncaughtException')).toBe(handlers);
    expect(await openBackend('auto', { root })).toBe(backend);
  });

  it.skipIf(!hasQuiet)(
    'loads TensorFlow without a word on standard error, which works afterwards (skipped without a build)',
    async () => {
      const script = `import { openBackend } from ${JSON.stringify(new URL('../../../src/engine/backend.ts', import.meta.url).href)};
        await openBackend('tensorflow');
        console.error('afterwards');`;
      const env = { ...process.env };
      delete env.TF_CPP_MIN_LOG_LEVEL;
      const args = ['--import', import.meta.resolve('tsx'), '--input-type=module', '--eval', script];
      const result = await runProcess(process.execPath, args, { env });
      expect(result).toMatchObject({ ok: true, stderr: 'afterwards\n' });
    },
  );

  it.skipIf(!hasTensorFlow)('changes to TensorFlow and back (skipped without TensorFlow)', async () => {
    const native = await openBackend('tensorflow');
    expect(native).toMatchObject({ name: 'tensorflow', notes: [] });
    expect(native.version).toMatch(/^2\.\d+\.\d+/);
    expect((await openBackend('wasm')).name).toBe('wasm');
    expect((await openBackend('tensorflow')).version).toBe(native.version);
  });
});
