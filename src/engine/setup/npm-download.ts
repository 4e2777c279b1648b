import { existsSync, readdirSync } from 'node:fs';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TacoError } from '../../../pipeline/index.ts';
import { installedVersion, type PackageFiles } from './npm-files.ts';
import { complaintOf, type RunOptions, runProcess } from './run-process.ts';

/** An npm package whose install script has fetched libtensorflow and a compiled binding. */
export interface DownloadedPackage {
  readonly files: PackageFiles;
  /** The binding, relative to the package and to a build's folder alike: it finds `deps/lib` from there. */
  readonly bindingFile: string;
}

/**
 * Lets npm install the package in a folder of its own, with its install script, which downloads libtensorflow
 * 2.9 and a compiled binding: no compiler is needed.
 * @throws TacoError `network` when the script fails
 */
export async function installPackage(
  name: string,
  version: string,
  scratch: string,
  options: RunOptions,
): Promise<DownloadedPackage> {
  const folder = join(scratch, 'npm');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), '{ "private": true }\n');
  const result = await runProcess(
    'npm',
    ['install', '--no-audit', '--no-fund', '--no-package-lock', '--foreground-scripts', `${name}@${version}`],
    { ...options, cwd: folder },
  );
  const packageFolder = join(folder, 'node_modules', name);
  const bindingFile = bindingIn(packageFolder);
  if (!result.ok || bindingFile === undefined) {
    throw new TacoError(`the install script of ${name} ${version} fails: ${complaintOf(result)}`, {
      code: 'network',
      stage: 'setup',
    });
  }
  return {
    files: { name, version: installedVersion(packageFolder) ?? version, folder: packageFolder },
    bindingFile,
  };
}

function bindingIn(packageFolder: string): string | undefined {
  const libFolder = join(packageFolder, 'lib');
  if (!existsSync(libFolder)) return undefined;
  return readdirSync(libFolder)
    .map((name) => join('lib', name, 'tfjs_binding.node'))
    .find((file) => existsSync(join(packageFolder, file)));
}

/** Copies the library and the binding, which looks for it in `../../deps/lib`. */
export async function placeDownloaded(downloaded: DownloadedPackage, folder: string): Promise<void> {
  const { files, bindingFile } = downloaded;
  const copy = { recursive: true, verbatimSymlinks: true };
  await cp(join(files.folder, 'deps', 'lib'), join(folder, 'deps', 'lib'), copy);
  await cp(join(files.folder, bindingFile), join(folder, bindingFile));
}
