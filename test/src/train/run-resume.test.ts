import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { files, run } from '../../support/in-process-runs.ts';
import { smallRun, writeTrainingFiles } from '../../support/training.ts';
import { readRun } from '../../support/training-runs.ts';

describe('going on', () => {
  it('says that a finished run is finished, and trains on with more steps', async () => {
    const { folder, files: data } = await files();
    const flags = { ...smallRun(data, join(folder, 'run')), 'max-steps': 4 };
    await run(flags);
    expect((await run(flags)).outcome).toMatchObject({ status: 'already-finished' });
    const { outcome, notes } = await run({ ...flags, 'max-steps': 6, lr: 5e-4 }, { override: true });
    expect(outcome).toMatchObject({ status: 'finished', progress: { step: 6 } });
    expect(notes).toEqual([
      '--max-steps was 4, from step 4 on it is 6',
      '--lr was 0.001, from step 4 on it is 0.0005',
    ]);
  });

  it('refuses settings that change what is learnt, and names both values', async () => {
    const { folder, files: data } = await files();
    const flags = { ...smallRun(data, join(folder, 'run')), 'max-steps': 3 };
    await run(flags);
    const before = await readRun(flags.out);
    for (const [change, message] of [
      [{ tau: 0.5 }, 'was trained with --tau 0.07, now it is 0.5'],
      [{ seed: 1 }, 'was trained with --seed 42, now it is 1'],
      [{ mode: 'mlm', 'neg-k': undefined }, 'was trained with --mode taco, now it is mlm'],
    ] as const) {
      const refused = run({ ...flags, ...change });
      await expect(refused).rejects.toMatchObject({ code: 'mismatch' });
      await expect(refused).rejects.toThrow(message);
    }
    expect(await readRun(flags.out)).toEqual(before);
  });

  it('learns otherwise than before only when told so, and then really does', async () => {
    const { folder, files: data } = await files();
    const flags = { ...smallRun(data, join(folder, 'run')), 'max-steps': 6, 'eval-steps': 0 };
    await run(flags, { stopAfter: 3 });
    const before = await readRun(flags.out);
    const change = { lr: 5e-4, 'weight-decay': 0.5 };
    const refused = run({ ...flags, ...change });
    await expect(refused).rejects.toMatchObject({ code: 'mismatch' });
    await expect(refused).rejects.toThrow(
      `${flags.out} was trained with other settings: --lr was 0.001, now it is 0.0005; --weight-decay was 0.01, now it is 0.5; use the same, or --override, which goes on from step 3 with those given now`,
    );
    expect(await readRun(flags.out)).toEqual(before);
    const { events } = await run({ ...flags, ...change }, { override: true });
    const rates = events.flatMap((event) => (event.kind === 'update' ? [event.learningRate] : []));
    expect(rates[0]).toBe(5e-4);
    // What was overridden once is the run's setting from there on.
    expect((await run({ ...flags, ...change })).notes).toEqual([]);
    await expect(run(flags, { override: true })).resolves.toMatchObject({ notes: { length: 2 } });
  });

  it('writes and evaluates at other intervals without being told twice', async () => {
    const { folder, files: data } = await files();
    const flags = { ...smallRun(data, join(folder, 'run')), 'max-steps': 6 };
    await run(flags, { stopAfter: 3 });
    const change = { 'save-steps': 5, 'save-total-limit': 1, 'eval-steps': 2, 'eval-rows': 4 };
    expect((await run({ ...flags, ...change })).notes).toEqual([]);
  });

  it('goes on with the very next row when batches become smaller, and says so', async () => {
    const { folder, files: data } = await files();
    const flags = { ...smallRun(data, join(folder, 'run')), 'max-steps': 3 };
    await run(flags);
    const change = { 'batch-size': 2, 'grad-accum': 3, 'max-steps': 5 };
    const { notes, outcome } = await run({ ...flags, ...change }, { override: true });
    expect(notes).toEqual([
      '--batch-size was 4, from step 3 on it is 2',
      '--grad-accum was 2, from step 3 on it is 3',
      '--max-steps was 3, from step 3 on it is 5',
    ]);
    expect(outcome.progress.cursor?.position).toBe(3 * 4 * 2 + 2 * 2 * 3);
  });

  it('refuses another dataset and another model', async () => {
    const { folder, files: data } = await files();
    const other = await writeTrainingFiles(join(folder, 'other'), { seed: 7 });
    const flags = { ...smallRun(data, join(folder, 'run')), 'max-steps': 3 };
    await run(flags);
    await expect(run({ ...flags, data: other.data })).rejects.toThrow(
      /was trained with the data \S+ \(\w{12}\), now it is \S+ \(\w{12}\);/,
    );
    await expect(run({ ...flags, 'bert-config': undefined, model: 'tiny' })).rejects.toThrow(
      'was trained with a model of hiddenSize 32, now it is 128',
    );
  });

  it('needs a checkpoint when told to resume', async () => {
    const { folder, files: data } = await files();
    const flags = smallRun(data, join(folder, 'run'));
    await expect(run(flags, { resume: true })).rejects.toMatchObject({ code: 'not-found' });
  });

  it('moves the old run aside when told not to resume', async () => {
    const { folder, files: data } = await files();
    const flags = { ...smallRun(data, join(folder, 'run')), 'max-steps': 3 };
    await run(flags);
    const old = await readRun(flags.out);
    const { notes, outcome } = await run({ ...flags, seed: 1 }, { resume: false });
    expect(outcome.status).toBe('finished');
    expect(notes).toEqual([`the run that was in ${flags.out} lies in ${flags.out}-1 now`]);
    expect(await readRun(`${flags.out}-1`)).toEqual(old);
    expect((await readRun(flags.out)).tensors).not.toEqual(old.tensors);
  });

  it('goes back one checkpoint when the newest is damaged, and makes the lost steps again', async () => {
    const { folder, files: data } = await files();
    const straight = smallRun(data, join(folder, 'straight'));
    await run(straight);
    const flags = smallRun(data, join(folder, 'damaged'));
    await run(flags, { stopAfter: 8 });
    appendFileSync(join(flags.out, 'checkpoint-8', 'optimizer.safetensors'), 'x');
    const { notes, events } = await run(flags);
    expect(notes).toHaveLength(1);
    expect(notes[0]).toMatch(
      /checkpoint-8 is damaged: optimizer\.safetensors has .* the checkpoint before is used$/,
    );
    expect(events.find((event) => event.kind === 'started')?.progress.step).toBe(4);
    expect(existsSync(join(flags.out, 'checkpoint-8.damaged'))).toBe(true);
    expect(await readRun(flags.out)).toEqual(await readRun(straight.out));
  });

  it('points latest to where it goes on when that names no checkpoint, and says so', async () => {
    const { folder, files: data } = await files();
    const flags = smallRun(data, join(folder, 'run'));
    const latest = join(flags.out, 'latest');
    const goOn = async (stopAfter: number) => (await run(flags, { stopAfter })).notes;
    expect(await goOn(4)).toEqual([]);
    const fault = `${latest} names no checkpoint; the newest whole one is used`;
    for (const content of ['checkpoint-9\n', '\0\0', '']) {
      writeFileSync(latest, content);
      const seen: string[] = [];
      const { notes } = await run(flags, {
        stopAfter: 5,
        onEvent: ({ kind }) => {
          if (kind === 'started') seen.push(content);
          if (kind === 'update') seen.push(readFileSync(latest, 'utf8'));
        },
      });
      expect(notes).toEqual([fault]);
      expect(seen).toEqual([content, 'checkpoint-4\n']);
      rmSync(join(flags.out, 'checkpoint-5'), { recursive: true });
    }
    // A checkpoint was written, and its process killed before it said so.
    writeFileSync(latest, 'checkpoint-4\n');
    expect(await goOn(8)).toEqual([]);
    writeFileSync(latest, 'checkpoint-4\n');
    expect(await goOn(9)).toEqual([]);
  });

  it('fails at once where its folder cannot be made', async () => {
    const { files: data } = await files();
    // Node's recursive mkdir never returns here.
    await expect(run(smallRun(data, '/proc/none/run'))).rejects.toMatchObject({ code: 'disk' });
  });

  it('does not share a folder with a run that is going', async () => {
    const { folder, files: data } = await files();
    const flags = { ...smallRun(data, join(folder, 'run')), 'max-steps': 4 };
    const first = run(flags);
    await expect.poll(() => existsSync(join(flags.out, 'recipe.json'))).toBe(true);
    await expect(run(flags)).rejects.toMatchObject({ code: 'locked' });
    expect((await first).outcome.status).toBe('finished');
  });

  it('keeps as many checkpoints as it is told', async () => {
    const { folder, files: data } = await files();
    const flags = { ...smallRun(data, join(folder, 'run')), 'save-steps': 1, 'save-total-limit': 2 };
    await run({ ...flags, 'max-steps': 5, 'eval-steps': 0 });
    const checkpoints = readdirSync(flags.out).filter((name) => name.startsWith('checkpoint'));
    expect(checkpoints.sort()).toEqual(['checkpoint-4', 'checkpoint-5']);
  });
});
