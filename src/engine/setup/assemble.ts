import { cp, copyFile, mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type BuildRecord, recordFileName } from './build-record.ts';
import type { TensorFlowLibrary } from './library.ts';
import { copyFromPackage, type PackageFiles } from './npm-files.ts';

/**
 * A build's folder:
 *
 *     build.json                            what it is; written last
 *     tensorflow/libtensorflow*.so.2        the library, and the binding that finds it beside itself
 *     tensorflow/tfjs_binding.node
 *     tensorflow/quiet.node                 silences TensorFlow while it is loaded
 *     nvidia/…                              CUDA, where the pip package's library looks for it
 *     node_modules/@tensorflow/tfjs-node    the npm package's JavaScript
 *     node_modules/@tensorflow/tfjs         hands on the project's own tfjs-core
 *     node_modules/google-protobuf
 *
 * It lies below the project, so that `@tensorflow/tfjs-core` resolves to the project's copy, and outside of the
 * project's node_modules, so that `npm ci` leaves it alone.
 */
export const bindingFile = join('tensorflow', 'tfjs_binding.node');

/** Brings libtensorflow, and CUDA where it came along. @returns the files to link against */
export async function placeLibrary(library: TensorFlowLibrary, folder: string): Promise<readonly string[]> {
  const libraryFolder = join(folder, dirname(bindingFile));
  await mkdir(libraryFolder, { recursive: true });
  const placed: string[] = [];
  for (const { path, installName } of library.files) {
    const target = join(libraryFolder, installName);
    await (library.isUnpacked ? rename(path, target) : copyFile(path, target));
    placed.push(target);
  }
  if (library.cudaFolder !== undefined) {
    const target = join(folder, 'nvidia');
    await (library.isUnpacked
      ? rename(library.cudaFolder, target)
      : cp(library.cudaFolder, target, { recursive: true, verbatimSymlinks: true }));
  }
  return placed;
}

/** Copies the JavaScript that drives the binding, and stands in for the packages that it imports. */
export async function placePackages(
  tfjsNode: PackageFiles,
  protobuf: PackageFiles,
  folder: string,
): Promise<void> {
  const modules = join(folder, 'node_modules');
  const target = join(modules, '@tensorflow', 'tfjs-node');
  await mkdir(target, { recursive: true });
  copyFromPackage(tfjsNode, target, ['package.json', 'dist']);
  const protobufTarget = join(modules, 'google-protobuf');
  await mkdir(protobufTarget, { recursive: true });
  copyFromPackage(protobuf, protobufTarget, [
    'package.json',
    'google-protobuf.js',
    'google',
    'LICENSE.md',
    'LICENSE-asserts.md',
  ]);

  // The kernels want only tfjs-core of this umbrella package of 125 MB.
  const umbrella = join(modules, '@tensorflow', 'tfjs');
  await mkdir(umbrella, { recursive: true });
  const manifest = { name: '@tensorflow/tfjs', version: tfjsNode.version, main: 'index.js' };
  await writeFile(join(umbrella, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  await writeFile(join(umbrella, 'index.js'), "module.exports = require('@tensorflow/tfjs-core');\n");
}

export async function writeRecord(folder: string, record: BuildRecord): Promise<void> {
  await writeFile(join(folder, recordFileName), `${JSON.stringify(record, null, 2)}\n`);
}
