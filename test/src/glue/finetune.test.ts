import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { createTokenizer } from '../../../pipeline/index.ts';
import { openBackend } from '../../../src/engine/index.ts';
import { openGlue } from '../../../src/glue/data.ts';
import { finetune, type FinetuneEvent } from '../../../src/glue/finetune.ts';
import { finetuneSettings } from '../../../src/glue/settings.ts';
import { readTask } from '../../../src/glue/task-data.ts';
import { glueTask, type GlueTaskName } from '../../../src/glue/tasks.ts';
import { randomParameters } from '../../support/random-model.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { TOY_TASKS, toyModel as model, writeToyGlue } from '../../support/toy-task.ts';
import { madeUpTokenizer } from '../../support/training.ts';

beforeAll(async () => {
  await openBackend('wasm');
});

const settingsOf = (epochs: number) =>
  finetuneSettings({ 'max-seq-len': 16, lr: 5e-3, epochs, 'warmup-steps': 4 });

async function learn(
  taskName: GlueTaskName,
  { seed = 1, epochs = 5, signal = new AbortController().signal } = {},
) {
  const folder = join(await temporaryFolder(), 'glue');
  await writeToyGlue(folder);
  const tokenizer = createTokenizer(madeUpTokenizer(model.vocabSize));
  const data = await readTask(await openGlue(folder, {}), glueTask(taskName), tokenizer, 16);
  const events: FinetuneEvent[] = [];
  const outcome = await finetune({
    model,
    pretrained: randomParameters(model, 9),
    data,
    settings: settingsOf(epochs),
    precision: 'f32',
    seed,
    signal,
    report: (event) => events.push(event),
  });
  return { ...outcome, events };
}

describe('fine-tuning', () => {
  it('learns a task that can be learnt, and predicts its test split', async () => {
    const { epochs, predictions, events } = await learn('sst2');
    expect(epochs.map(({ epoch, step }) => [epoch, step])).toEqual([1, 2, 3, 4, 5].map((n) => [n, 8 * n]));
    // Chance is 0.5; 60 examples.
    expect(epochs.at(-1)!.metrics.validation!.accuracy).toBeGreaterThan(0.9);
    expect(predictions).toHaveLength(1);
    expect(predictions[0]).toMatchObject({ name: 'SST-2.tsv', numExamples: 20 });
    expect(predictions[0]!.text).toMatch(/^index\tprediction\n0\t[01]\n/);
    expect(events.filter(({ kind }) => kind === 'update')).toHaveLength(40);
    expect(events.filter(({ kind }) => kind === 'evaluation')).toHaveLength(5);
    const predicted = events.flatMap((event) =>
      event.kind === 'prediction' ? [`${event.split} ${event.done}/${event.total}`] : [],
    );
    expect(predicted.slice(-6)).toEqual([
      ...[16, 32, 48, 60].map((done) => `validation ${done}/60`),
      ...['test 16/20', 'test 20/20'],
    ]);
  });

  it.each(TOY_TASKS)('learns %s from random weights', async (task) => {
    const { epochs } = await learn(task, { epochs: 12 });
    // Chance is 0.5 for classes, 0 for correlations; 60 examples.
    expect(epochs.at(-1)!.score).toBeGreaterThan(0.8);
  });

  it('is a function of the seed', async () => {
    const losses = (events: readonly FinetuneEvent[]) =>
      events.flatMap((event) => (event.kind === 'update' ? [event.metrics.loss] : []));
    const first = await learn('sst2');
    const again = await learn('sst2');
    const other = await learn('sst2', { seed: 2 });
    expect(losses(again.events)).toEqual(losses(first.events));
    expect(again.predictions).toEqual(first.predictions);
    expect(losses(other.events)).not.toEqual(losses(first.events));
  });

  it('stops where the signal says so', async () => {
    const abort = new AbortController();
    abort.abort();
    await expect(learn('sst2', { signal: abort.signal })).rejects.toMatchObject({ name: 'AbortError' });
  });
});
