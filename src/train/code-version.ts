import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

let known: Readonly<Record<string, string>> | undefined;

/**
 * What computes: this package's version, sha256 of its sources, its commit where it lies in a git repository, and Node's
 * version. The program does not change while it runs, so it is looked at once.
 */
export function codeVersions(): Readonly<Record<string, string>> {
  known ??= {
    'taco-pretraining': packageVersion(),
    code: sourceHash(),
    ...commit(),
    node: process.versions.node,
  };
  return known;
}

/** Of this program. */
export function packageVersion(): string {
  const text = readFileSync(join(root, 'package.json'), 'utf8');
  return (JSON.parse(text) as { readonly version: string }).version;
}

function sourceHash(): string {
  const hash = createHash('sha256');
  for (const folder of ['pipeline', 'src']) {
    const names = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
    for (const name of names.filter((file) => file.endsWith('.ts')).sort()) {
      const text = readFileSync(join(root, folder, name));
      hash.update(`${folder}/${name.replaceAll('\\', '/')} ${text.byteLength}\n`).update(text);
    }
  }
  return hash.digest('hex');
}

function commit(): { readonly commit?: string } {
  const { status, stdout } = spawnSync('git', ['-C', root, 'rev-parse', 'HEAD'], { encoding: 'utf8' });
  return status === 0 ? { commit: stdout.trim() } : {};
}
