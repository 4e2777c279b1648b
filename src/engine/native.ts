import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import util from 'node:util';
import type { KernelBackend } from '@tensorflow/tfjs-core';
import { messageOf, TacoError } from '../../pipeline/index.ts';
import type { ProtocolBuffers } from './graph/saved-model.ts';
import { prepareEnvironment } from './environment.ts';
import { type Build, latestBuild } from './setup/build-record.ts';

/** The checkout this code runs from. */
export const projectRoot = fileURLToPath(new URL('../../', import.meta.url));

/** A native TensorFlow that lies on the disk; whether it loads is another question. */
export interface NativeCandidate {
  /** `setup`: made by `npm run setup:tensorflow`; `npm`: an installed package with its binding. */
  readonly origin: 'setup' | 'npm';
  /** npm package whose code drives the library. */
  readonly packageName: string;
  /** Folder of that package. */
  readonly packageFolder: string;
  /** The compiled N-API module. */
  readonly bindingFile: string;
}

/** What was found, best first, and for each that is absent one line that says why. */
export interface NativeSearch {
  readonly candidates: readonly NativeCandidate[];
  readonly absent: readonly string[];
}

/** A native TensorFlow in this process. */
export interface NativeTensorFlow {
  readonly candidate: NativeCandidate;
  /** Of libtensorflow, as the library says it. */
  readonly version: string;
  readonly device: 'CPU' | 'GPU';
  readonly createBackend: () => KernelBackend;
  /** What writes graphs. */
  readonly protocol: ProtocolBuffers;
}

export interface LoadOptions {
  /** Let XLA compile what it can of every graph. */
  readonly xla?: boolean;
}

/** N-API module beside the binding that silences standard error; made by setup:tensorflow, absent elsewhere. */
export const quietName = 'quiet.node';

interface Quiet {
  mute(): void;
  unmute(): void;
}

/** The part of the N-API module that is used here. */
interface Binding {
  readonly TF_Version: string;
  isUsingGpuDevice(): boolean;
}
type BackendClass = new (binding: Binding, packageName: string) => KernelBackend;

const npmPackages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const;

/**
 * Looks for native TensorFlow without loading it: the newest build of `npm run setup:tensorflow` below
 * `cache/tensorflow`, then the installed npm packages. npm keeps neither files nor binding of an optional
 * package whose install script failed, and keeps the files alone with `--ignore-scripts`: both are normal.
 */
export function findNativeTensorFlow(root: string = projectRoot): NativeSearch {
  const candidates: NativeCandidate[] = [];
  const absent: string[] = [];

  const build = latestBuild(join(root, 'cache', 'tensorflow'));
  if (build === undefined) {
    absent.push('no build of setup:tensorflow');
  } else {
    candidates.push(candidateOfBuild(build));
  }

  const requireFromRoot = createRequire(join(root, 'package.json'));
  for (const packageName of npmPackages) {
    const packageFolder = folderOfPackage(requireFromRoot, packageName);
    if (packageFolder === undefined) {
      absent.push(`${packageName} is not installed`);
      continue;
    }
    const bindingFile = bindingOf(packageFolder);
    if (bindingFile === undefined) absent.push(`${packageName} is installed without its native binding`);
    else candidates.push({ origin: 'npm', packageName, packageFolder, bindingFile });
  }
  return { candidates, absent };
}

/** Where a build keeps the two parts of a native TensorFlow. */
export function candidateOfBuild({ folder, record }: Build): NativeCandidate {
  return {
    origin: 'setup',
    packageName: record.packageName,
    packageFolder: join(folder, 'node_modules', '@tensorflow', 'tfjs-node'),
    bindingFile: join(folder, record.bindingFile),
  };
}

function folderOfPackage(require: NodeJS.Require, packageName: string): string | undefined {
  try {
    return join(require.resolve(`${packageName}/package.json`), '..');
  } catch {
    return undefined;
  }
}

/** node-pre-gyp keeps one folder for each N-API version; the newest that this Node offers is the right one. */
function bindingOf(packageFolder: string): string | undefined {
  const libFolder = join(packageFolder, 'lib');
  if (!existsSync(libFolder)) return undefined;
  const offered = Number(process.versions.napi ?? process.versions.modules);
  return readdirSync(libFolder)
    .map((name) => ({ name, version: Number(/^napi-v(\d+)$/.exec(name)?.[1]) }))
    .filter(({ version }) => version <= offered)
    .sort((a, b) => b.version - a.version)
    .map(({ name }) => join(libFolder, name, 'tfjs_binding.node'))
    .find((file) => existsSync(file));
}

/**
 * Loads the library into this process. It stays until the process ends, and only one thread of a process can
 * do this.
 * @throws TacoError `backend` when the library, its binding or its kernels cannot be loaded
 */
export function loadNativeTensorFlow(
  candidate: NativeCandidate,
  { xla = false }: LoadOptions = {},
): NativeTensorFlow {
  // Whoever asks for TensorFlow's log gets all of it.
  const isChatty = process.env.TF_CPP_MIN_LOG_LEVEL !== undefined;
  prepareEnvironment(process.env, { cacheFolder: join(projectRoot, 'cache'), xla });
  restoreRemovedUtil();
  const requireFrom = createRequire(join(candidate.packageFolder, 'package.json'));
  try {
    requireSameCore(requireFrom, candidate);
    const binding = requireBinding(requireFrom, candidate.bindingFile, isChatty);
    const { NodeJSKernelBackend } = requireFrom('./dist/nodejs_kernel_backend.js') as {
      readonly NodeJSKernelBackend: BackendClass;
    };
    requireFrom('./dist/register_all_kernels.js');
    return {
      protocol: requireFrom('./dist/proto/api_pb.js') as ProtocolBuffers,
      candidate,
      version: binding.TF_Version,
      device: binding.isUsingGpuDevice() ? 'GPU' : 'CPU',
      createBackend: () => new NodeJSKernelBackend(binding, candidate.packageName),
    };
  } catch (error) {
    if (error instanceof TacoError) throw error;
    const reason = messageOf(error).split('\n')[0] ?? '';
    throw new TacoError(`TensorFlow of ${candidate.packageFolder} does not load: ${reason}`, {
      code: 'backend',
      stage: 'engine',
      path: candidate.packageFolder,
      cause: error,
    });
  }
}

/** TensorFlow 2.1x greets on standard error while it is loaded, before it has read its log level. */
function requireBinding(requireFrom: NodeJS.Require, file: string, isChatty: boolean): Binding {
  const quietFile = join(dirname(file), quietName);
  if (isChatty || !existsSync(quietFile)) return requireFrom(file) as Binding;
  const quiet = requireFrom(quietFile) as Quiet;
  quiet.mute();
  try {
    return requireFrom(file) as Binding;
  } finally {
    quiet.unmute();
  }
}

/** tfjs-node 4.22 calls `util.isNullOrUndefined`, which Node 23 removed. */
function restoreRemovedUtil(): void {
  if (!('isNullOrUndefined' in util)) {
    Object.defineProperty(util, 'isNullOrUndefined', {
      value: (value: unknown): boolean => value === null || value === undefined,
      configurable: true,
    });
  }
}

/**
 * Kernels check tensors against the classes of the tfjs-core that they import, so a second copy of another
 * version beside ours is refused.
 */
function requireSameCore(requireFrom: NodeJS.Require, candidate: NativeCandidate): void {
  const ours = createRequire(import.meta.url).resolve('@tensorflow/tfjs-core/package.json');
  const theirs = (candidate.origin === 'setup' ? requireFrom : fromUnionPackage(requireFrom)).resolve(
    '@tensorflow/tfjs-core/package.json',
  );
  if (realpathSync(ours) === realpathSync(theirs)) return;
  const [ourVersion, theirVersion] = [versionIn(ours), versionIn(theirs)];
  throw new TacoError(
    `${candidate.packageName} brings its own tfjs-core ${theirVersion}, expected to share ${ourVersion}: run npm ci`,
    { code: 'backend', stage: 'engine', path: candidate.packageFolder },
  );
}

/** The npm packages reach tfjs-core through `@tensorflow/tfjs`. */
function fromUnionPackage(requireFrom: NodeJS.Require): NodeJS.Require {
  return createRequire(requireFrom.resolve('@tensorflow/tfjs/package.json'));
}

function versionIn(packageFile: string): string {
  const { version } = JSON.parse(readFileSync(packageFile, 'utf8')) as { readonly version: string };
  return version;
}
