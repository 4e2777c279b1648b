import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TacoError } from '../../../pipeline/index.ts';
import { complaintOf, type RunOptions, runProcess } from './run-process.ts';

/** The compiler that runs, as a command, and its version line. */
export interface Tool {
  readonly command: string;
  readonly version: string;
}

/**
 * The first C++ compiler that runs: `$CXX`, then the usual names.
 * @throws TacoError `not-found`
 */
export async function findCompiler(options: RunOptions): Promise<Tool> {
  const environment = options.env ?? process.env;
  const given = environment.CXX;
  const names = [...(given === undefined || given === '' ? [] : [given]), 'c++', 'g++', 'clang++'];
  const tool = await firstThatRuns(names, ['--version'], options);
  if (tool !== undefined) return tool;
  throw new TacoError(
    `no C++ compiler runs (tried ${names.join(', ')}): install one (Debian and Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install)`,
    { code: 'not-found', stage: 'setup' },
  );
}

/**
 * The first Python that has pip: `$TACO_PYTHON`, then the usual names.
 * @throws TacoError `not-found`
 */
export async function findPip(options: RunOptions): Promise<Tool> {
  const given = (options.env ?? process.env).TACO_PYTHON;
  const names = [...(given === undefined || given === '' ? [] : [given]), 'python3', 'python'];
  const tool = await firstThatRuns(names, ['-m', 'pip', '--version'], options);
  if (tool !== undefined) return tool;
  throw new TacoError(
    `no Python with pip runs (tried ${names.join(', ')}): install one (Debian and Ubuntu: apt-get install python3-pip), or give --from a libtensorflow`,
    { code: 'not-found', stage: 'setup' },
  );
}

async function firstThatRuns(
  commands: readonly string[],
  args: readonly string[],
  options: RunOptions,
): Promise<Tool | undefined> {
  for (const command of commands) {
    const result = await runProcess(command, args, options);
    if (result.ok) return { command, version: result.stdout.split('\n')[0] ?? '' };
  }
  return undefined;
}

/** Folder with `node_api.h` that came with the Node in use, if it came with one. */
export function nodeHeaders(execPath: string = process.execPath): string | undefined {
  const folders = [
    join(dirname(execPath), '..', 'include', 'node'),
    join(dirname(execPath), 'include', 'node'),
  ];
  return folders.find((folder) => existsSync(join(folder, 'node_api.h')));
}

export interface BindingSources {
  /** Folder with the `.cc` and `.h` files of the npm package. */
  readonly bindingFolder: string;
  readonly nodeIncludeFolder: string;
  readonly tensorflowIncludeFolder: string;
  /** Shared libraries to link against; at run time they are looked for beside the binding. */
  readonly libraries: readonly string[];
}

/**
 * Compiles the npm package's N-API module.
 * @throws TacoError `backend` with the compiler's first complaint
 */
export async function compileBinding(
  compiler: Tool,
  sources: BindingSources,
  output: string,
  options: RunOptions,
): Promise<void> {
  const files = ['tfjs_backend.cc', 'tfjs_binding.cc'].map((name) => join(sources.bindingFolder, name));
  const rpath = process.platform === 'darwin' ? '-Wl,-rpath,@loader_path' : '-Wl,-rpath,$ORIGIN';
  await compileModule(
    compiler,
    [
      `-I${sources.nodeIncludeFolder}`,
      `-I${sources.tensorflowIncludeFolder}`,
      `-I${sources.bindingFolder}`,
      ...files,
      ...sources.libraries,
      rpath,
    ],
    output,
    options,
  );
}

/** Compiles quiet.cc, which silences TensorFlow while it is loaded. */
export async function compileQuiet(
  compiler: Tool,
  nodeIncludeFolder: string,
  output: string,
  options: RunOptions,
): Promise<void> {
  const source = fileURLToPath(new URL('./quiet.cc', import.meta.url));
  await compileModule(compiler, [`-I${nodeIncludeFolder}`, source], output, options);
}

async function compileModule(
  compiler: Tool,
  inputs: readonly string[],
  output: string,
  options: RunOptions,
): Promise<void> {
  const kind = process.platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared'];
  const flags = ['-std=c++17', '-O2', '-fPIC', '-DNAPI_VERSION=8', ...kind];
  const result = await runProcess(compiler.command, [...flags, ...inputs, '-o', output], options);
  if (result.ok) return;
  throw new TacoError(`${compiler.command} does not compile the binding: ${complaintOf(result)}`, {
    code: 'backend',
    stage: 'setup',
    cause: result.stderr,
  });
}
