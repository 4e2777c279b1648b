import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { lockFile, lockFolder, processStartOf } from '../../../pipeline/shards/lock.ts';
import { filesBelow, temporaryFolder } from '../../support/folders.ts';

async function leaveLock(folder: string, holder: object | string): Promise<string> {
  const path = join(folder, lockFile);
  await writeFile(path, typeof holder === 'string' ? holder : JSON.stringify(holder));
  return path;
}

/** Pid of a process that has ended. */
async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ['-e', '']);
  await once(child, 'exit');
  return child.pid!;
}

describe('lock of a folder', () => {
  it('refuses a second holder by its pid and is free after release', async () => {
    const folder = await temporaryFolder();
    const lock = await lockFolder(folder);
    await expect(lockFolder(folder)).rejects.toMatchObject({
      code: 'locked',
      message: expect.stringContaining(`process ${process.pid} is preparing`) as string,
    });
    await lock.release();
    await (await lockFolder(folder)).release();
    expect((await filesBelow(folder)).size).toBe(0);
  });

  it('is taken over from a process that is dead', async () => {
    const folder = await temporaryFolder();
    const path = await leaveLock(folder, {
      pid: await deadPid(),
      host: hostname(),
      processStart: '1',
      id: 'a',
    });
    const lock = await lockFolder(folder);
    expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ pid: process.pid });
    await lock.release();
    expect((await filesBelow(folder)).size).toBe(0);
  });

  it.runIf(process.platform === 'linux')(
    'is taken over when its pid belongs to another process now',
    async () => {
      const folder = await temporaryFolder();
      await leaveLock(folder, { pid: process.pid, host: hostname(), processStart: 'long ago', id: 'a' });
      await (await lockFolder(folder)).release();
    },
  );

  it('of another machine holds while it shows life', async () => {
    const folder = await temporaryFolder();
    const path = await leaveLock(folder, { pid: 1, host: 'elsewhere', processStart: '', id: 'a' });
    await expect(lockFolder(folder)).rejects.toMatchObject({
      message: expect.stringContaining('process 1 on elsewhere') as string,
    });
    const longAgo = new Date(Date.now() - 3_600_000);
    await utimes(path, longAgo, longAgo);
    await (await lockFolder(folder)).release();
  });

  it('that is half-written goes by its age', async () => {
    const folder = await temporaryFolder();
    const path = await leaveLock(folder, '{"pid":');
    await expect(lockFolder(folder)).rejects.toMatchObject({ code: 'locked' });
    const longAgo = new Date(Date.now() - 3_600_000);
    await utimes(path, longAgo, longAgo);
    await (await lockFolder(folder)).release();
  });

  it('goes to one of many that want a stale one', async () => {
    const folder = await temporaryFolder();
    await leaveLock(folder, { pid: await deadPid(), host: hostname(), processStart: '1', id: 'a' });
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => lockFolder(folder)));
    const winners = outcomes.filter((outcome) => outcome.status === 'fulfilled');
    expect(winners).toHaveLength(1);
    await winners[0]?.value.release();
  });

  it('sweeps up what a process left that died while it took the lock', async () => {
    const folder = await temporaryFolder();
    const left = join(folder, `${lockFile}-1234`);
    await writeFile(left, '{}');
    const longAgo = new Date(Date.now() - 3_600_000);
    await utimes(left, longAgo, longAgo);
    await (await lockFolder(folder)).release();
    expect((await filesBelow(folder)).size).toBe(0);
  });

  it('sweeps up the empty file of a process that was killed before it wrote, but not of one that lives', async () => {
    const folder = await temporaryFolder();
    const id = '0d4c8f5e-0000-4000-8000-000000000000';
    const [dead, other] = [`${await deadPid()}-1-${id}-${hostname()}`, `1-1-${id}-elsewhere`];
    const living = `${process.ppid}-${await processStartOf(process.ppid)}-${id}-${hostname()}`;
    for (const name of [dead, other, living]) await writeFile(join(folder, `${lockFile}-${name}`), '');
    await (await lockFolder(folder)).release();
    expect([...(await filesBelow(folder)).keys()].sort()).toEqual(
      [other, living].map((name) => `${lockFile}-${name}`).sort(),
    );
  });

  it('is not taken from a folder that cannot be written', async () => {
    const folder = await temporaryFolder();
    await expect(lockFolder(join(folder, 'nowhere'))).rejects.toMatchObject({ code: 'disk' });
  });
});
