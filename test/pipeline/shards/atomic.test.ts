import { createHash } from 'node:crypto';
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  AtomicFile,
  diskError,
  ensureFolder,
  removeTemporaryFiles,
  writeFileAtomic,
} from '../../../pipeline/shards/atomic.ts';
import { filesBelow, temporaryFolder } from '../../support/folders.ts';

describe('an atomic file', () => {
  it('has its name when it is whole, with size and hash of what was written', async () => {
    const folder = await temporaryFolder();
    const path = join(folder, 'data.bin');
    const file = await AtomicFile.create(path);
    await file.write(Buffer.from('one '));
    await file.write(Buffer.from('two'));
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await file.commit()).toEqual({
      bytes: 7,
      sha256: createHash('sha256').update('one two').digest('hex'),
    });
    expect(await readFile(path, 'utf8')).toBe('one two');
    expect((await filesBelow(folder)).size).toBe(1);
  });

  it('leaves the old content when it is given up', async () => {
    const folder = await temporaryFolder();
    const path = join(folder, 'data.bin');
    await writeFileAtomic(path, 'old');
    const file = await AtomicFile.create(path);
    await file.write(Buffer.from('new'));
    await file.discard();
    expect(Object.fromEntries(await filesBelow(folder))).toEqual({ 'data.bin': Buffer.from('old') });
  });

  it('overwrites what an interrupted attempt left', async () => {
    const folder = await temporaryFolder();
    const path = join(folder, 'data.bin');
    const interrupted = await AtomicFile.create(path);
    await interrupted.write(Buffer.from('a long piece of an earlier attempt'));
    await writeFileAtomic(path, 'whole');
    expect(await readFile(path, 'utf8')).toBe('whole');
    await interrupted.discard();
  });

  it('of an interrupted run can be swept up', async () => {
    const folder = await temporaryFolder();
    const files = await Promise.all(['a', 'b'].map((name) => AtomicFile.create(join(folder, name))));
    await writeFile(join(folder, 'c'), 'kept');
    expect(await removeTemporaryFiles(folder)).toBe(2);
    await Promise.all(files.map((file) => file.discard()));
    expect([...(await filesBelow(folder)).keys()]).toEqual(['c']);
    expect(await removeTemporaryFiles(join(folder, 'nowhere'))).toBe(0);
  });

  it('says in one line which folder cannot be written', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'file'), 'x');
    await expect(writeFileAtomic(join(folder, 'file', 'inner'), 'x')).rejects.toMatchObject({
      code: 'disk',
      message: expect.stringMatching(/^cannot write .*inner: a file is where a folder should be/) as string,
    });
    await mkdir(join(folder, 'locked'));
    await chmod(join(folder, 'locked'), 0o500);
    // The superuser may write everywhere.
    if (process.getuid?.() === 0) return;
    await expect(writeFileAtomic(join(folder, 'locked', 'x'), 'x')).rejects.toMatchObject({
      code: 'disk',
      message: expect.stringMatching(/permission denied/) as string,
    });
  });
});

describe('errors of the disk', () => {
  it.each([
    ['ENOSPC', /no space left.*run the same command again, it continues/],
    ['EDQUOT', /quota.*continues/],
    ['EROFS', /read-only/],
    ['EACCES', /permission denied/],
    ['EIO', /i\/o went wrong/],
  ])('%s is one line with what to do', (code, message) => {
    const cause = Object.assign(new Error('i/o went wrong'), { code });
    const error = diskError('write', 'some/file', cause);
    expect(error).toMatchObject({ code: 'disk', path: 'some/file', cause });
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('\n');
    expect(diskError('write', 'other', error)).toBe(error);
  });
});

describe('making a folder', () => {
  it('makes its parents, and tells whether it was there', async () => {
    const folder = join(await temporaryFolder(), 'a', 'b', 'c');
    expect(await ensureFolder(folder)).toBe(true);
    expect(await ensureFolder(folder)).toBe(false);
    expect((await stat(folder)).isDirectory()).toBe(true);
  });

  it('several at once all succeed', async () => {
    const folder = await temporaryFolder();
    const names = ['a/b/c', 'a/b/d', 'a/b/c', 'a/e'];
    await Promise.all(names.map((name) => ensureFolder(join(folder, name))));
    for (const name of names) expect((await stat(join(folder, name))).isDirectory()).toBe(true);
  });

  it('says so when a file is in the way', async () => {
    const path = join(await temporaryFolder(), 'file');
    await writeFile(path, '');
    for (const folder of [path, join(path, 'below')]) {
      await expect(ensureFolder(folder)).rejects.toMatchObject({
        code: 'disk',
        message: expect.stringContaining('a file is where a folder should be') as string,
      });
    }
  });

  it.skipIf(process.platform !== 'linux')('ends where the system takes no folders', async () => {
    await expect(ensureFolder('/proc/taco/data')).rejects.toMatchObject({ code: 'disk' });
  });
});
