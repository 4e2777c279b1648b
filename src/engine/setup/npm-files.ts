import { createHash } from 'node:crypto';
import { cpSync, existsSync, readFileSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { TacoError } from '../../../pipeline/index.ts';
import { complaintOf, type RunOptions, runProcess } from './run-process.ts';
import { extractTarGz } from './archives.ts';

/** An npm package's files, unpacked. */
export interface PackageFiles {
  readonly name: string;
  readonly version: string;
  readonly folder: string;
}

/** What package-lock.json says about a package; optional packages stay in it where they are not installed. */
interface Locked {
  readonly version: string;
  readonly integrity: string | undefined;
}

/**
 * Files of an npm package without running its scripts: those of node_modules when the installed version is the
 * locked one, else fetched by npm and checked against package-lock.json.
 * @param scratch folder to unpack to
 * @param pinned version of a package that is not in package-lock.json
 * @throws TacoError `network` when npm cannot fetch it, `corrupt` when it is not what was locked
 */
export async function packageFiles(
  root: string,
  name: string,
  scratch: string,
  options: RunOptions,
  pinned?: string,
): Promise<PackageFiles> {
  const locked = lockedPackage(root, name) ?? { version: pinned ?? 'latest', integrity: undefined };
  const installed = join(root, 'node_modules', name);
  if (installedVersion(installed) === locked.version) {
    return { name, version: locked.version, folder: installed };
  }
  const target = join(scratch, name.replaceAll('/', '-'));
  await mkdir(target, { recursive: true });
  const spec = `${name}@${locked.version}`;
  const packed = await runProcess(
    'npm',
    ['pack', spec, '--pack-destination', target, '--json', '--ignore-scripts'],
    {
      ...options,
      cwd: target,
    },
  );
  const archive = packed.ok ? archiveIn(target, packed.stdout) : undefined;
  if (archive === undefined) {
    throw new TacoError(`npm cannot fetch ${spec}: ${complaintOf(packed)}`, {
      code: 'network',
      stage: 'setup',
    });
  }
  await requireIntegrity(archive, spec, locked.integrity);
  const folder = join(target, 'package');
  await extractTarGz(archive, folder, 1, options.signal);
  return { name, version: installedVersion(folder) ?? locked.version, folder };
}

/** npm says the file's name with the scope's `@` and `/` as it is, or as in the file: `scope-name-1.0.0.tgz`. */
function archiveIn(folder: string, json: string): string | undefined {
  const file = /"filename":\s*"([^"]+)"/.exec(json)?.[1];
  if (file === undefined) return undefined;
  return [file, file.replace(/^@/, '').replaceAll('/', '-')]
    .map((name) => join(folder, name))
    .find((path) => existsSync(path));
}

async function requireIntegrity(archive: string, spec: string, integrity: string | undefined): Promise<void> {
  if (integrity?.startsWith('sha512-') !== true) return;
  const digest = createHash('sha512')
    .update(await readFile(archive))
    .digest('base64');
  if (integrity === `sha512-${digest}`) return;
  throw new TacoError(`${spec} from npm is sha512-${digest}, expected ${integrity} as in package-lock.json`, {
    code: 'corrupt',
    stage: 'setup',
    path: archive,
  });
}

function lockedPackage(root: string, name: string): Locked | undefined {
  const file = join(root, 'package-lock.json');
  if (!existsSync(file)) return undefined;
  const { packages } = JSON.parse(readFileSync(file, 'utf8')) as {
    readonly packages?: Readonly<Record<string, { version?: string; integrity?: string } | undefined>>;
  };
  const entry = packages?.[`node_modules/${name}`];
  return entry?.version === undefined ? undefined : { version: entry.version, integrity: entry.integrity };
}

/** Version of the package in a folder, or undefined where there is none. */
export function installedVersion(folder: string): string | undefined {
  const file = join(folder, 'package.json');
  if (!existsSync(file)) return undefined;
  return (JSON.parse(readFileSync(file, 'utf8')) as { readonly version?: string }).version;
}

/** Copies files and folders of a package. */
export function copyFromPackage(from: PackageFiles, to: string, paths: readonly string[]): void {
  for (const path of paths) {
    const source = join(from.folder, path);
    if (!existsSync(source)) continue;
    cpSync(source, join(to, path), {
      recursive: true,
      filter: (file) => dirname(file) === from.folder || !/_test\.(js|d\.ts)$/.test(file),
    });
  }
}
