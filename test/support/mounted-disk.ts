import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** Whether tests may mount file systems of their own: on Linux, as root. */
export const canMount = ((): boolean => {
  if (process.platform !== 'linux') return false;
  const folder = mkdtempSync(join(tmpdir(), 'taco-mount-'));
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4k', 'tmpfs', folder], {
    stdio: 'ignore',
  });
  if (status === 0) execFileSync('umount', [folder]);
  rmSync(folder, { recursive: true });
  return status === 0;
})();

/** Behind the title of tests that need it. */
export const mountNote = canMount
  ? ''
  : ' (skipped: mounting a tmpfs takes root; the limit of file sizes is tested)';
if (mountNote !== '') console.warn(`a full disk:${mountNote}`);

/** A disk of a given size for the time of a test. */
export interface MountedDisk {
  readonly folder: string;
  readonly resize: (kilobytes: number) => void;
}

export function mountDisk(folder: string, kilobytes: number): MountedDisk {
  mkdirSync(folder, { recursive: true });
  const options = (size: number): string => `size=${size}k`;
  execFileSync('mount', ['-t', 'tmpfs', '-o', options(kilobytes), 'tmpfs', folder]);
  onTestFinished(() => {
    execFileSync('umount', [folder]);
  });
  return {
    folder,
    resize: (size) => {
      execFileSync('mount', ['-o', `remount,${options(size)}`, folder]);
    },
  };
}
