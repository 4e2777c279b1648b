import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { codeVersions } from '../../../src/train/code-version.ts';
import { filesBelow } from '../../support/folders.ts';

const root = join(import.meta.dirname, '../../..');

it('names the program by its version, the hash of all its sources, and its commit where there is one', async () => {
  const hash = createHash('sha256');
  for (const folder of ['pipeline', 'src']) {
    const files = await filesBelow(join(root, folder));
    const sources = [...files].filter(([name]) => name.endsWith('.ts'));
    expect(sources.length).toBeGreaterThan(50);
    for (const [name, bytes] of sources.sort(([a], [b]) => (a < b ? -1 : 1))) {
      hash.update(`${folder}/${name} ${bytes.byteLength}\n`).update(bytes);
    }
  }
  const git = spawnSync('git', ['-C', root, 'rev-parse', 'HEAD'], { encoding: 'utf8' });
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  expect(codeVersions()).toEqual({
    'taco-pretraining': version,
    code: hash.digest('hex'),
    node: process.versions.node,
    ...(git.status === 0 && { commit: git.stdout.trim() }),
  });
});
