import { createReadStream, existsSync, lstatSync, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { messageOf, TacoError } from '../../../pipeline/index.ts';
import { extractTarGz, extractZip } from './archives.ts';

/** libtensorflow on the disk, with the headers that belong to it. */
export interface TensorFlowLibrary {
  /** What it was taken from, for people. */
  readonly origin: string;
  /** Folder with `tensorflow/c/c_api.h`. */
  readonly includeFolder: string;
  /** Shared libraries to link against and to keep, under the names by which the loader looks for them. */
  readonly files: readonly { readonly path: string; readonly installName: string }[];
  /** Whether the files were unpacked for this setup and may be moved away. */
  readonly isUnpacked: boolean;
  /** `nvidia` folder of the CUDA libraries that came with it. */
  readonly cudaFolder: string | undefined;
  /** Whether it is built for NVIDIA GPUs. */
  readonly gpu: boolean;
}

const libraryPattern = /^libtensorflow(_cc|_framework)?((?:\.\d+)*\.dylib|\.so(?:\.\d+)*)$/;

/** In the framework library of GPU builds, and in none of the others: the variable that CUDA's runtime reads. */
const cudaMark = 'CUDA_VISIBLE_DEVICES';

/**
 * Opens a given libtensorflow: a wheel of the pip package `tensorflow` or `tensorflow-cpu`, the C library's
 * archive (`libtensorflow-cpu-linux-x86_64.tar.gz`), or a folder with either's content.
 * @param scratch folder to unpack to
 * @throws TacoError `not-found` or `corrupt`
 */
export async function openLibrary(
  from: string,
  scratch: string,
  signal?: AbortSignal,
): Promise<TensorFlowLibrary> {
  requireGiven(from);
  if (statSync(from).isDirectory()) return { ...(await locateLibrary(from, from)), isUnpacked: false };
  if (from.endsWith('.whl')) {
    await extractZip(from, scratch, isWanted, signal);
  } else if (/\.(tar\.gz|tgz)$/.test(from)) {
    await extractTarGz(from, scratch, 0, signal);
  } else {
    throw new TacoError(
      `--from ${from} is of an unknown kind, expected a folder, .tar.gz, .tgz or .whl file`,
      {
        code: 'bad-config',
        stage: 'setup',
        path: from,
      },
    );
  }
  return locateLibrary(scratch, from);
}

/** @throws TacoError `not-found` for a path that does not exist */
export function requireGiven(from: string): void {
  if (existsSync(from)) return;
  throw new TacoError(
    `--from ${from} does not exist, expected a libtensorflow folder, .tar.gz or .whl file`,
    {
      code: 'not-found',
      stage: 'setup',
      path: from,
    },
  );
}

/** Of a wheel's thousands of files, those that a binding needs. */
function isWanted(name: string): boolean {
  if (/^nvidia\/.*\/include\//.test(name)) return false;
  return (
    name.startsWith('tensorflow/include/') ||
    name.startsWith('nvidia/') ||
    (name.startsWith('tensorflow/') && libraryPattern.test(basename(name)))
  );
}

/**
 * Finds libraries and headers below a folder, in the layouts of the C library's archive and of the pip package.
 * @param folder unpacked for this setup
 * @param origin what to call it in messages and records
 * @throws TacoError `not-found` that says what is missing
 */
export async function locateLibrary(folder: string, origin: string): Promise<TensorFlowLibrary> {
  const roots = [folder, join(folder, 'tensorflow')];
  const root = roots.find((each) => existsSync(join(each, 'include', 'tensorflow', 'c', 'c_api.h')));
  if (root === undefined) {
    throw missing(folder, origin, 'include/tensorflow/c/c_api.h');
  }
  const libraryFolder = [join(root, 'lib'), root].find((each) => mainLibraryIn(each) !== undefined);
  if (libraryFolder === undefined) throw missing(folder, origin, 'libtensorflow.so or libtensorflow_cc.so');
  const main = mainLibraryIn(libraryFolder)!;
  const framework = realLibrariesIn(libraryFolder).find((name) => name.startsWith('libtensorflow_framework'));
  const files = [main, ...(framework === undefined ? [] : [framework])].map((name) => ({
    path: join(libraryFolder, name),
    installName: installNameOf(name),
  }));
  const cudaFolder = join(root, '..', 'nvidia');
  return {
    origin,
    includeFolder: join(root, 'include'),
    files,
    isUnpacked: true,
    cudaFolder: existsSync(cudaFolder) ? cudaFolder : undefined,
    gpu: await mentions(files.at(-1)!.path, cudaMark),
  };
}

function missing(folder: string, origin: string, what: string): TacoError {
  return new TacoError(
    `no TensorFlow in ${origin}: ${what} is missing, expected the pip package or the C library`,
    {
      code: 'not-found',
      stage: 'setup',
      path: folder,
    },
  );
}

function mainLibraryIn(folder: string): string | undefined {
  const names = realLibrariesIn(folder);
  return (
    names.find((name) => /^libtensorflow\./.test(name)) ??
    names.find((name) => name.startsWith('libtensorflow_cc.'))
  );
}

/** Files and not the symbolic links to them, which the C library's archive has for every shorter name. */
function realLibrariesIn(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter(
    (name) => libraryPattern.test(name) && lstatSync(join(folder, name)).isFile(),
  );
}

/** `libtensorflow.so.2.9.1` is looked for as `libtensorflow.so.2`, `libtensorflow.2.9.1.dylib` as `libtensorflow.2.dylib`. */
function installNameOf(name: string): string {
  return name.replace(/(\.so\.\d+)(?:\.\d+)*$/, '$1').replace(/(\.\d+)(?:\.\d+)*\.dylib$/, '$1.dylib');
}

/** Whether a file's bytes hold a word. */
async function mentions(file: string, word: string): Promise<boolean> {
  let tail = '';
  try {
    for await (const chunk of createReadStream(file, { encoding: 'latin1', highWaterMark: 4 << 20 })) {
      const text = tail + String(chunk);
      if (text.includes(word)) return true;
      tail = text.slice(-word.length);
    }
  } catch (error) {
    throw new TacoError(`cannot read ${file}: ${messageOf(error)}`, {
      code: 'disk',
      stage: 'setup',
      path: file,
    });
  }
  return false;
}
