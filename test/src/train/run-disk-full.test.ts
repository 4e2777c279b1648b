import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { verifyCheckpoint } from '../../../src/train/checkpoint.ts';
import { files, run } from '../../support/in-process-runs.ts';
import { canMount, mountDisk, mountNote } from '../../support/mounted-disk.ts';
import { smallRun } from '../../support/training.ts';
import { readRun } from '../../support/training-runs.ts';

/** Room for everything. */
const PLENTY_KB = 65_536;

describe.skipIf(!canMount)(`a run on a disk that is full${mountNote}`, () => {
  async function scene(kilobytes: number, settings: Readonly<Record<string, number>> = {}) {
    const { folder, files: data } = await files();
    const straight = { ...smallRun(data, join(folder, 'straight')), ...settings };
    await run(straight);
    const disk = mountDisk(join(folder, 'disk'), kilobytes);
    const flags = { ...smallRun(data, join(disk.folder, 'run')), ...settings };
    return { disk, expected: await readRun(straight.out), flags };
  }

  it('trains on without the checkpoints that do not fit, keeps the others, and fails at its end', async () => {
    // A checkpoint takes some 700 kB, so the first fits and the others do not.
    const { disk, expected, flags } = await scene(1_000);
    const events: string[] = [];
    const ended = run(flags, {
      onEvent: (event) => {
        const { kind } = event;
        if (kind === 'checkpoint' || kind === 'checkpoint-failed') {
          events.push(`${kind} ${event.progress.step}`);
        }
      },
    });
    await expect(ended).rejects.toMatchObject({ code: 'disk' });
    await expect(ended).rejects.toThrow(
      /^cannot write the checkpoint \S+checkpoint-12: ENOSPC.*; step 12 is not saved, the last checkpoint is of step 4; make room/,
    );
    expect(events).toEqual(['checkpoint 4', 'checkpoint-failed 8', 'checkpoint-failed 12']);
    expect(readdirSync(flags.out).filter((name) => /^checkpoint|tmp|lock/.test(name))).toEqual([
      'checkpoint-4',
    ]);
    expect(readFileSync(join(flags.out, 'latest'), 'utf8')).toBe('checkpoint-4\n');
    await verifyCheckpoint(join(flags.out, 'checkpoint-4'));
    disk.resize(PLENTY_KB);
    await run(flags);
    expect(await readRun(flags.out)).toEqual(expected);
  });

  it('lacks nothing when there is room again in time, metrics included', async () => {
    // The lines of twenty updates are more than what is left of any block.
    const { disk, expected, flags } = await scene(PLENTY_KB, { 'max-steps': 32, 'save-steps': 8 });
    const filler = join(disk.folder, 'filler');
    const failed: number[] = [];
    const { notes } = await run(flags, {
      onEvent: (event) => {
        if (event.kind === 'checkpoint-failed') failed.push(event.progress.step);
        if (event.kind !== 'update') return;
        if (event.progress.step === 9) fill(filler);
        if (event.progress.step === 29) rmSync(filler);
      },
    });
    expect(failed).toEqual([16, 24]);
    expect(notes).toEqual([
      expect.stringMatching(
        /^cannot write \S+: ENOSPC.*; training goes on, metrics are kept in memory until there is room$/,
      ),
    ]);
    expect(await readRun(flags.out)).toEqual(expected);
  });
});

/** Takes all room of a disk, to the last byte. */
function fill(path: string): void {
  for (const size of [65_536, 4_096, 1]) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(size), { flag: 'a' });
    } catch {
      // There is no more of this size.
    }
  }
}
