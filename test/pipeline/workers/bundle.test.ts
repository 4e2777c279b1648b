import childProcess, { type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { bundleOf } from '../../../pipeline/workers/bundle.ts';

let folder = '';
let numModules = 0;
const started: ChildProcess[] = [];
const { spawn } = childProcess;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taco-bundle-'));
  vi.spyOn(childProcess, 'spawn').mockImplementation((...args: Parameters<typeof spawn>) => {
    const child = spawn(...args);
    started.push(child);
    return child;
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  started.length = 0;
  await rm(folder, { recursive: true, force: true });
});

async function moduleOf(code: string): Promise<string> {
  numModules += 1;
  const path = join(folder, `${numModules}.ts`);
  await writeFile(path, code);
  return path;
}

/** What a program exports when it is run. */
function run(program: string): unknown {
  const module = { exports: {} };
  // eslint-disable-next-line @typescript-eslint/no-implied-eval
  (new Function('module', program) as (module: object) => void)(module);
  return module.exports;
}

test('a program is the module with what it imports, made once', async () => {
  await writeFile(join(folder, 'other.ts'), 'export const two: number = 2;');
  const path = await moduleOf("import { two } from './other.ts'; export const three = two + 1;");
  const [program, again] = await Promise.all([bundleOf(path), bundleOf(path)]);
  expect(run(program)).toMatchObject({ three: 3 });
  expect(again).toBe(program);
  expect(started).toHaveLength(1);
});

test('several are made side by side, and no process of esbuild outlives them', async () => {
  const paths = await Promise.all([1, 2, 3].map((n) => moduleOf(`export const n: number = ${n};`)));
  const programs = await Promise.all(paths.map(bundleOf));
  expect(programs.map(run)).toMatchObject([{ n: 1 }, { n: 2 }, { n: 3 }]);
  expect(started.length).toBeGreaterThan(0);
  await vi.waitFor(() => {
    expect(started.every(({ exitCode, signalCode }) => (exitCode ?? signalCode) !== null)).toBe(true);
  });
});

test('a module that cannot be bundled fails when it is run, in one line', async () => {
  const path = await moduleOf("import './none.ts';");
  const program = await bundleOf(path);
  expect(() => run(program)).toThrow(
    /^Build failed with 1 error: .*\d\.ts:1:7: .*Could not resolve "\.\/none\.ts"$/,
  );
});

test('Ctrl-C, which ends esbuild too, keeps no program from being made', async () => {
  vi.mocked(childProcess.spawn).mockImplementationOnce((...args: Parameters<typeof spawn>) => {
    const child = spawn(...args);
    child.kill('SIGINT');
    return child;
  });
  const path = await moduleOf('export const whole: boolean = true;');
  expect(run(await bundleOf(path))).toMatchObject({ whole: true });
  expect(started).toHaveLength(1);
});
