import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, statfs } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { messageOf, TacoError } from '../../../pipeline/index.ts';
import { candidateOfBuild, quietName } from '../native.ts';
import { bindingFile, placeLibrary, placePackages, writeRecord } from './assemble.ts';
import { type Build, type BuildRecord, listBuilds } from './build-record.ts';
import { openLibrary, requireGiven, type TensorFlowLibrary } from './library.ts';
import { installPackage, placeDownloaded } from './npm-download.ts';
import { type PackageFiles, packageFiles } from './npm-files.ts';
import { libraryFromPip, pipPackage, pipVersion } from './pip.ts';
import { probeBackend } from './probe.ts';
import { type RunOptions, runProcess } from './run-process.ts';
import { compileBinding, compileQuiet, findCompiler, findPip, nodeHeaders } from './toolchain.ts';

export interface SetupOptions {
  /** Checkout to set TensorFlow up for. */
  readonly root: string;
  /** A given libtensorflow: folder, `.tar.gz` or `.whl`. Nothing else is tried then. */
  readonly from?: string;
  /** Build for NVIDIA GPUs, or not; decided by whether one is seen when absent. */
  readonly gpu?: boolean;
  /** Build again although there is one. */
  readonly force?: boolean;
  /** Receives one line for each step. */
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal;
  /** Environment of the programs that are run. */
  readonly env?: NodeJS.ProcessEnv;
}

export interface SetupResult {
  readonly folder: string;
  readonly record: BuildRecord;
  readonly device: 'CPU' | 'GPU';
  /** Whether it was there before. */
  readonly existed: boolean;
}

const drivingPackage = '@tensorflow/tfjs-node-gpu';
/** For the C library 2.9 that the npm packages download: the one for CPUs is a fifth of the size. */
const drivingPackageCpu = '@tensorflow/tfjs-node';
/** Node's own headers as an npm package, for a Node that came without. */
export const headersPackage = { name: 'node-api-headers', version: '1.9.0' };
const temporaryPrefix = '.tmp-';

/**
 * Makes a native TensorFlow backend below `cache/tensorflow`, from the newest source that can be reached: a given
 * libtensorflow, else pip's wheel, else the npm package's own download. Built in a temporary folder, tried in a
 * child process, and only then renamed: a folder under its final name works.
 * @throws TacoError one line that lists what was tried
 */
export async function setupTensorFlow(options: SetupOptions): Promise<SetupResult> {
  const { root, log, signal } = options;
  if (options.from !== undefined) requireGiven(options.from);
  const buildsFolder = join(root, 'cache', 'tensorflow');
  const run: RunOptions = { env: options.env ?? process.env, ...(signal === undefined ? {} : { signal }) };
  const gpu = options.gpu ?? (await seesGpu(run));
  await mkdir(buildsFolder, { recursive: true });
  await removeAbandoned(buildsFolder);

  if (options.force !== true) {
    const present = await presentBuild(listBuilds(buildsFolder), gpu, options, run);
    if (present !== undefined) return present;
  }

  const work = join(buildsFolder, `${temporaryPrefix}${process.pid}`);
  const context: Context = {
    root,
    scratch: join(work, 'scratch'),
    build: join(work, 'build'),
    gpu,
    from: options.from === undefined ? undefined : resolve(options.from),
    log,
    run,
  };
  const failures: string[] = [];
  try {
    for (const [title, make] of sourcesOf(context)) {
      signal?.throwIfAborted();
      log(title);
      await rm(work, { recursive: true, force: true });
      await mkdir(context.scratch, { recursive: true });
      await mkdir(context.build, { recursive: true });
      try {
        return await finish(await make(), context, buildsFolder);
      } catch (error) {
        if (signal?.aborted === true) throw error;
        failures.push(`${title}: ${messageOf(error)}`);
        log(`  failed: ${messageOf(error)}`);
      }
    }
  } finally {
    await rm(work, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
  throw new TacoError(
    `no TensorFlow was set up; nothing was changed. Tried: ${failures.join('; ')}. Training works without it (--backend wasm), slower`,
    { code: 'backend', stage: 'setup' },
  );
}

interface Context {
  readonly root: string;
  /** Downloads and headers: thrown away. */
  readonly scratch: string;
  /** The build under way. */
  readonly build: string;
  readonly gpu: boolean;
  readonly from: string | undefined;
  readonly log: (line: string) => void;
  readonly run: RunOptions;
}

/** What a source left in the build's folder. */
interface Made {
  readonly packageName: string;
  readonly packageVersion: string;
  readonly bindingFile: string;
  readonly origin: string;
  readonly gpu: boolean;
}

type Source = readonly [title: string, make: () => Promise<Made>];

function sourcesOf(context: Context): readonly Source[] {
  const { from, gpu } = context;
  if (from !== undefined) return [[`from ${from}`, () => fromGiven(from, context)]];
  const npmPackage = gpu ? drivingPackage : drivingPackageCpu;
  return [
    [`pip's ${pipPackage(gpu)} ${pipVersion}`, () => fromPip(context)],
    [`the download of npm's ${npmPackage}`, () => fromNpm(npmPackage, context)],
  ];
}

async function fromGiven(from: string, context: Context): Promise<Made> {
  // Before the work: a missing compiler is known at once.
  await findCompiler(context.run);
  const library = await openLibrary(from, join(context.scratch, 'given'), context.run.signal);
  return compileFor(library, context);
}

async function fromPip(context: Context): Promise<Made> {
  const { gpu, scratch, log, run } = context;
  await findCompiler(run);
  const pip = await findPip(run);
  await requireSpace(scratch, gpu ? 12e9 : 2.5e9);
  return compileFor(await libraryFromPip(pip, gpu, scratch, log, run), context);
}

async function fromNpm(name: string, context: Context): Promise<Made> {
  const { root, scratch, build, log, run, gpu } = context;
  const { version } = await packageFiles(root, drivingPackage, scratch, run);
  log(`installing ${name} ${version} with its download`);
  const downloaded = await installPackage(name, version, scratch, run);
  await placeDownloaded(downloaded, build);
  await placePackages(downloaded.files, await packageFiles(root, 'google-protobuf', scratch, run), build);
  return {
    packageName: name,
    packageVersion: version,
    bindingFile: downloaded.bindingFile,
    origin: `${name}@${version}`,
    gpu,
  };
}

/** Compiles the npm package's binding against a library and puts the build together. */
async function compileFor(library: TensorFlowLibrary, context: Context): Promise<Made> {
  const { root, scratch, build, log, run } = context;
  const compiler = await findCompiler(run);
  const tfjsNode = await packageFiles(root, drivingPackage, scratch, run);
  const protobuf = await packageFiles(root, 'google-protobuf', scratch, run);
  const nodeIncludeFolder = nodeHeaders() ?? (await fetchedHeaders(context));
  log(`${library.isUnpacked ? 'placing' : 'copying'} libtensorflow`);
  const libraries = await placeLibrary(library, build);
  log(`compiling the binding of ${tfjsNode.name} ${tfjsNode.version} (${compiler.version})`);
  await compileBinding(
    compiler,
    {
      bindingFolder: join(tfjsNode.folder, 'binding'),
      nodeIncludeFolder,
      tensorflowIncludeFolder: library.includeFolder,
      libraries,
    },
    join(build, bindingFile),
    run,
  );
  await compileQuiet(compiler, nodeIncludeFolder, join(build, dirname(bindingFile), quietName), run);
  await placePackages(tfjsNode, protobuf, build);
  return {
    packageName: tfjsNode.name,
    packageVersion: tfjsNode.version,
    bindingFile,
    origin: basename(library.origin),
    gpu: library.gpu,
  };
}

async function fetchedHeaders({ root, scratch, log, run }: Context): Promise<string> {
  const { name, version } = headersPackage;
  log(`this Node came without headers: fetching ${name} ${version}`);
  const headers: PackageFiles = await packageFiles(root, name, scratch, run, version);
  return join(headers.folder, 'include');
}

/** Tries the build in a child process and gives it its final name. */
async function finish(made: Made, context: Context, buildsFolder: string): Promise<SetupResult> {
  const { build, log, run } = context;
  const record: BuildRecord = {
    schemaVersion: 1,
    tensorflowVersion: 'unknown',
    platform: process.platform,
    arch: process.arch,
    ...made,
  };
  log('trying it in a child process');
  const probe = await probeBackend(candidateOfBuild({ folder: build, record }), run);
  if (!probe.works) {
    throw new TacoError(`it does not work: ${probe.reason}`, { code: 'backend', stage: 'setup' });
  }
  const finished: BuildRecord = { ...record, tensorflowVersion: probe.version };
  await writeRecord(build, finished);
  const name = `${probe.version}-${made.gpu ? 'gpu' : 'cpu'}-${process.platform}-${process.arch}`;
  const folder = join(buildsFolder, name);
  const replaced = `${build}-replaced`;
  if (existsSync(folder)) await rename(folder, replaced);
  await rename(build, folder);
  return { folder, record: finished, device: probe.device, existed: false };
}

/** The first of the builds that is what is asked for and works. */
async function presentBuild(
  builds: readonly Build[],
  gpu: boolean,
  { from, log }: SetupOptions,
  run: RunOptions,
): Promise<SetupResult | undefined> {
  for (const build of builds) {
    const isAsked = from === undefined ? build.record.gpu === gpu : build.record.origin === basename(from);
    if (!isAsked) continue;
    const probe = await probeBackend(candidateOfBuild(build), run);
    if (probe.works) return { ...build, device: probe.device, existed: true };
    log(`${build.folder} does not work (${probe.reason}): making it again`);
  }
  return undefined;
}

/** Whether the NVIDIA driver sees a GPU. */
export async function seesGpu(run: RunOptions): Promise<boolean> {
  const result = await runProcess('nvidia-smi', ['-L'], run);
  return result.ok && /^GPU \d/m.test(result.stdout);
}

async function requireSpace(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= bytes) return;
  const [free, needed] = [bavail * bsize, bytes].map((size) => (size / 1e9).toFixed(1));
  throw new TacoError(`${free} GB are free in ${folder}, expected ${needed} GB: free some space`, {
    code: 'disk',
    stage: 'setup',
    path: folder,
  });
}

/** What a setup that was killed has left: temporary folders whose process is gone. */
async function removeAbandoned(buildsFolder: string): Promise<void> {
  for (const name of await readdir(buildsFolder)) {
    if (!name.startsWith(temporaryPrefix)) continue;
    const pid = Number(name.slice(temporaryPrefix.length));
    if (!isRunning(pid)) await rm(join(buildsFolder, name), { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
