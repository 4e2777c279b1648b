import { createHash } from 'node:crypto';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageFiles } from '../../../../src/engine/setup/npm-files.ts';
import { makeTarGz } from '../../../support/archives.ts';
import { temporaryFolder } from '../../../support/folders.ts';

const archive = makeTarGz([
  { name: 'package/package.json', data: Buffer.from('{"version":"1.2.3"}') },
  { name: 'package/dist/index.js', data: Buffer.from('42') },
]);
const integrity = `sha512-${createHash('sha512').update(archive).digest('base64')}`;

/** A checkout that has @scope/some locked, and an npm that packs the archive above. */
async function checkout(locked: string): Promise<{ root: string; env: NodeJS.ProcessEnv }> {
  const root = await temporaryFolder();
  const lock = { packages: { 'node_modules/@scope/some': { version: '1.2.3', integrity: locked } } };
  await writeFile(join(root, 'package-lock.json'), JSON.stringify(lock));
  await writeFile(join(root, 'some.tgz'), archive);
  const npm = join(root, 'npm');
  await writeFile(
    npm,
    `#!/bin/sh
[ "$1 $2" = "pack @scope/some@1.2.3" ] || { echo "npm error code E404" >&2; exit 1; }
/bin/cp ${join(root, 'some.tgz')} scope-some-1.2.3.tgz
echo '[{"filename": "scope-some-1.2.3.tgz"}]'
`,
  );
  await chmod(npm, 0o755);
  return { root, env: { PATH: root } };
}

describe.skipIf(process.platform === 'win32')('packageFiles', () => {
  it('takes the installed package when it is the locked version', async () => {
    const { root, env } = await checkout(integrity);
    const installed = join(root, 'node_modules/@scope/some');
    await mkdir(installed, { recursive: true });
    await writeFile(join(installed, 'package.json'), '{"version":"1.2.3"}');
    const files = await packageFiles(root, '@scope/some', join(root, 'scratch'), {
      env: { ...env, PATH: '' },
    });
    expect(files).toEqual({ name: '@scope/some', version: '1.2.3', folder: installed });
  });

  it('fetches it where it is absent or of another version', async () => {
    const { root, env } = await checkout(integrity);
    const other = join(root, 'node_modules/@scope/some/package.json');
    await mkdir(dirname(other), { recursive: true });
    await writeFile(other, '{"version":"9.9.9"}');
    const files = await packageFiles(root, '@scope/some', join(root, 'scratch'), { env });
    expect(files.version).toBe('1.2.3');
    expect(await readFile(join(files.folder, 'dist/index.js'), 'utf8')).toBe('42');
  });

  it('refuses bytes that are not the locked ones', async () => {
    const { root, env } = await checkout('sha512-other');
    await expect(packageFiles(root, '@scope/some', join(root, 'scratch'), { env })).rejects.toThrow(
      `@scope/some@1.2.3 from npm is ${integrity}, expected sha512-other as in package-lock.json`,
    );
  });

  it("passes on npm's complaint", async () => {
    const { root, env } = await checkout(integrity);
    await expect(packageFiles(root, 'unknown', join(root, 'scratch'), { env }, '1.0.0')).rejects.toThrow(
      'npm cannot fetch unknown@1.0.0: npm error code E404 (exit 1)',
    );
  });
});
