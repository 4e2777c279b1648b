import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readCheckpointTensors } from '../../../src/train/checkpoint.ts';
import { files, run } from '../../support/in-process-runs.ts';
import { smallRun } from '../../support/training.ts';
import { readRun } from '../../support/training-runs.ts';

describe('beginning with other weights', () => {
  it('takes those of a checkpoint, with a fresh optimiser, at step 0', async () => {
    const { folder, files: data } = await files();
    const first = { ...smallRun(data, join(folder, 'first')), 'max-steps': 4 };
    await run(first);
    const learnt = await readRun(first.out);
    const next = {
      ...smallRun(data, join(folder, 'next')),
      'init-from': join(first.out, 'checkpoint-4'),
      'max-steps': 4,
    };
    const { events } = await run(next);
    const result = await readRun(next.out);
    // Before anything is updated it evaluates as the model that it began with.
    expect(result.metrics[0]).toEqual({ ...learnt.metrics.at(-1), step: 0 });
    const tensors = await readCheckpointTensors(join(next.out, 'checkpoint-4'));
    expect(tensors.get('optimizer.step')?.values).toEqual(Float32Array.of(4));
    expect(events.find((event) => event.kind === 'started')).toMatchObject({
      progress: { step: 0 },
      resumedFrom: undefined,
    });
    const { metrics } = result;
    const fresh = { ...smallRun(data, join(folder, 'fresh')), 'max-steps': 4 };
    await run(fresh);
    expect(metrics).not.toEqual((await readRun(fresh.out)).metrics);
  });

  it('is interrupted and continued with the same bits, and keeps to what it began with', async () => {
    const { folder, files: data } = await files();
    const first = { ...smallRun(data, join(folder, 'first')), 'max-steps': 4 };
    await run(first);
    const weights = join(first.out, 'checkpoint-4');
    const straight = { ...smallRun(data, join(folder, 'straight')), 'init-from': weights };
    const stopped = { ...smallRun(data, join(folder, 'stopped')), 'init-from': weights };
    await run(straight);
    await run(stopped, { stopAfter: 5 });
    await expect(run({ ...stopped, 'init-from': undefined })).rejects.toThrow(
      `was trained with --init-from ${weights}, now it is not set`,
    );
    await run(stopped);
    expect(await readRun(stopped.out)).toEqual(await readRun(straight.out));
  });

  it('takes those of the run that it replaces', async () => {
    const { folder, files: data } = await files();
    const flags = { ...smallRun(data, join(folder, 'run')), 'max-steps': 4 };
    await run(flags);
    const { outcome } = await run(
      { ...flags, 'init-from': join(flags.out, 'checkpoint-4') },
      { resume: false },
    );
    expect(outcome.status).toBe('finished');
  });

  it('refuses those that do not fit, and leaves the old run where it was', async () => {
    const { folder, files: data } = await files();
    const flags = { ...smallRun(data, join(folder, 'run')), 'max-steps': 4 };
    await run(flags);
    const old = await readRun(flags.out);
    const checkpoint = join(flags.out, 'checkpoint-4');
    const wide = { ...flags, 'bert-config': undefined, model: 'tiny', 'init-from': checkpoint };
    await expect(run(wide, { resume: false })).rejects.toThrow(
      `--init-from ${checkpoint} has a width of 32, the model to train 128; choose its size with --model or --bert-config`,
    );
    const absent = join(folder, 'absent');
    await expect(run({ ...flags, 'init-from': absent }, { resume: false })).rejects.toThrow(absent);
    expect(await readRun(flags.out)).toEqual(old);
  });
});
