import { describe, expect, it } from 'vitest';
import { writeCheckpoint } from '../../../src/train/checkpoint.ts';
import type { PlannedRun } from '../../../src/train/checkpoint-state.ts';
import { chooseStart } from '../../../src/train/resume.ts';
import { contentAt } from '../../support/checkpoints.ts';
import { temporaryFolder } from '../../support/folders.ts';

/** A run with a checkpoint of step 3, and what is asked for now. */
async function going(change: (run: PlannedRun) => Partial<PlannedRun>) {
  const folder = await temporaryFolder();
  const content = contentAt(3);
  const saved = {
    ...content.state.run,
    precision: 'bf16' as const,
    settings: { ...content.state.run.settings, precision: 'auto' },
  };
  await writeCheckpoint(folder, { ...content, state: { ...content.state, run: saved } });
  const current = { ...saved, ...change(saved) };
  return (override?: boolean) => chooseStart(folder, { override }, current);
}

describe('going on in another precision', () => {
  it.each([undefined, 'f32'] as const)('that is asked for needs --override, with backend %s', async (now) => {
    const start = await going(({ settings }) => ({
      settings: { ...settings, precision: 'f32' },
      ...(now === undefined ? {} : { precision: now }),
    }));
    await expect(start()).rejects.toThrow(
      'was trained with other settings: --precision was bf16, now it is f32; use the same, or --override',
    );
    expect((await start(true)).notes).toEqual(['--precision was bf16, from step 3 on it is f32']);
  });

  it('that another machine brings about is said', async () => {
    const start = await going(() => ({ precision: 'f32' }));
    expect((await start()).notes).toEqual([
      'the precision was bf16, from step 3 on it is f32: --precision bf16 keeps it',
    ]);
  });

  it('is no change where the same one is named', async () => {
    const start = await going(({ settings }) => ({ settings: { ...settings, precision: 'bf16' } }));
    expect((await start()).notes).toEqual([]);
  });
});

describe('going on with another program', () => {
  it('is said, with version, commit and hash of both', async () => {
    const start = await going(({ versions }) => ({
      versions: { ...versions, code: 'fedcba9876543210', commit: '0123456789abcdef' },
    }));
    expect((await start()).notes).toEqual([
      'the program was 0.1.0 (unknown), now it is 0.1.0 0123456789 (fedcba9876): results may differ from an uninterrupted run',
    ]);
  });
});
