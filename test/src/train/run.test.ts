import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../../../src/train/config.ts';
import { planRun } from '../../../src/train/plan.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { files, run } from '../../support/in-process-runs.ts';
import { smallRun, writeTrainingFiles } from '../../support/training.ts';
import { readRun } from '../../support/training-runs.ts';

describe('a run on WebAssembly', () => {
  it('interrupted anywhere and continued ends with the same bits as one in one go', async () => {
    const { folder, files: data } = await files();
    const straight = smallRun(data, join(folder, 'straight'));
    expect((await run(straight)).outcome).toMatchObject({ status: 'finished' });
    const expected = await readRun(straight.out);
    expect(expected.latest).toBe('checkpoint-12');
    expect(expected.tensors.size).toBeGreaterThan(60);
    expect(expected.metrics.map(({ type, step }) => `${type ?? ''} ${step ?? ''}`)).toEqual([
      'validation 0',
      ...[1, 2, 3, 4, 5, 6].map((step) => `update ${step}`),
      'validation 6',
      ...[7, 8, 9, 10, 11, 12].map((step) => `update ${step}`),
      'validation 12',
    ]);

    for (const stops of [[6], [1, 8, 12]]) {
      const flags = smallRun(data, join(folder, `stopped-${stops.join('-')}`));
      for (const stopAfter of stops) {
        const { outcome } = await run(flags, { stopAfter });
        expect(outcome.progress.step).toBe(stopAfter);
      }
      expect((await run(flags)).outcome.status).toMatch(/finished$/);
      expect(await readRun(flags.out)).toEqual(expected);
    }
  });

  it('learns: the losses fall', async () => {
    const { folder, files: data } = await files();
    const flags = { ...smallRun(data, join(folder, 'run')), 'max-steps': 40, 'eval-steps': 40, lr: 1e-2 };
    const { events } = await run(flags);
    const evaluations = events.flatMap((event) => (event.kind === 'evaluation' ? [event.evaluation] : []));
    expect(evaluations).toHaveLength(2);
    expect(evaluations[1]!.mlmLoss).toBeLessThan(evaluations[0]!.mlmLoss - 0.1);
    expect(evaluations[1]!.tcLoss).toBeLessThan(evaluations[0]!.tcLoss! - 0.1);
  });

  it('stops when nothing is finite any more, and keeps what was written before', async () => {
    const { folder, files: data } = await files();
    const flags = { ...smallRun(data, join(folder, 'run')), lr: 1e30, 'warmup-steps': 0, 'save-steps': 1 };
    await expect(run({ ...flags, 'max-steps': 20, 'eval-steps': 0 })).rejects.toMatchObject({
      code: 'diverged',
      message: expect.stringMatching(/in 10 updates in a row \(steps \d+ to \d+\)/) as unknown,
    });
    const { metrics, progress } = await readRun(flags.out);
    expect(progress.numSkipped).toBeGreaterThanOrEqual(9);
    expect(metrics.at(-1)).toMatchObject({ skipped: true, loss: null });
  });

  it('leaves a model folder, the recipe and the plot', async () => {
    const { folder, files: data } = await files();
    const flags = { ...smallRun(data, join(folder, 'run')), 'max-steps': 4 };
    await run(flags);
    expect(readdirSync(flags.out).sort()).toEqual([
      'checkpoint-4',
      'latest',
      'loss.svg',
      'metrics.jsonl',
      'recipe.json',
      'tensorboard',
    ]);
    const checkpoint = join(flags.out, 'checkpoint-4');
    expect(JSON.parse(readFileSync(join(checkpoint, 'config.json'), 'utf8'))).toMatchObject({
      architectures: ['BertForMaskedLM'],
      hidden_size: 32,
    });
    expect(readFileSync(join(checkpoint, 'vocab.txt'), 'utf8')).toBe(
      readFileSync(join(data.data, 'vocab.txt'), 'utf8'),
    );
    expect(readFileSync(join(flags.out, 'loss.svg'), 'utf8')).toContain('</svg>');
    const again = resolveConfig({ config: join(flags.out, 'recipe.json'), flags: {} });
    expect(again).toEqual(resolveConfig({ flags }));
  });

  it('trains MLM alone, and says when there is nothing to validate on', async () => {
    const folder = await temporaryFolder();
    const data = await writeTrainingFiles(folder, { validation: [] });
    const flags = smallRun(data, join(folder, 'run'));
    const { notes, events } = await run({ ...flags, mode: 'mlm', 'neg-k': undefined, 'max-steps': 4 });
    expect(notes).toEqual([`${data.data} has no validation split: the model is not evaluated on the way`]);
    const update = events.find((event) => event.kind === 'update');
    expect(update?.metrics.tcLoss).toBeUndefined();
  });
});

describe('several datasets', () => {
  it('interrupted, under other weights and continued, end with the same bits as when not interrupted', async () => {
    const { data, flags } = await mixedRun();
    const weights = (a: number, b: number): string[] => [`${a}:${data[0]}`, `${b}:${data[1]}`];
    const straight = { ...flags('straight'), 'max-steps': 12, data: weights(3, 1) };
    const stopped = { ...flags('stopped'), 'max-steps': 12, data: weights(3, 1) };
    for (const one of [straight, stopped]) await run(one, { stopAfter: 5 });
    await expect(run({ ...straight, data: weights(1, 3) })).rejects.toThrow(
      `other settings: --data was 3:${data[0]} 1:${data[1]}, now it is 1:${data[0]} 3:${data[1]}; use the same, or --override`,
    );
    const changed = await run({ ...straight, data: weights(1, 3) }, { override: true });
    expect(changed.notes).toEqual([
      `--data was 3:${data[0]} 1:${data[1]}, from step 5 on it is 1:${data[0]} 3:${data[1]}`,
    ]);
    const stop = { stopAfter: 8, override: true };
    expect((await run({ ...stopped, data: weights(1, 3) }, stop)).notes).toHaveLength(1);
    expect((await run({ ...stopped, data: weights(2, 6) })).notes).toEqual([]);
    const result = await readRun(stopped.out);
    expect(result).toEqual(await readRun(straight.out));
    const rows = result.progress.cursor!.datasets.map(({ position }) => position);
    // 5 updates of 8 rows by 3 : 1, 7 by 1 : 3.
    expect(rows.toSorted((a, b) => a - b)).toEqual([44, 52]);
  });

  it('are evaluated together', async () => {
    const { data, flags } = await mixedRun();
    const { events } = await run({ ...flags('run'), data, 'max-steps': 1, 'eval-steps': 1, 'eval-rows': 0 });
    const evaluation = events.find((event) => event.kind === 'evaluation')?.evaluation;
    expect(evaluation?.numRows).toBe(12 + 5);
  });

  it('neither join nor leave a run: refused by name', async () => {
    const { data, flags } = await mixedRun();
    const both = { ...flags('both'), data, 'max-steps': 1 };
    await run(both);
    for (const [index, own] of data.entries()) {
      const alone = { ...flags(`alone-${index}`), data: own, 'max-steps': 1 };
      await run(alone);
      for (const changed of [
        { ...both, data: own },
        { ...alone, data },
      ]) {
        const refused = run(changed);
        await expect(refused).rejects.toMatchObject({ code: 'mismatch' });
        await expect(refused).rejects.toThrow(`${data[0]} (`);
        await expect(refused).rejects.toThrow(`${data[1]} (`);
      }
    }
    expect((await run({ ...both, data: [data[1], data[0]] })).outcome.status).toBe('already-finished');
  });

  async function mixedRun() {
    const folder = await temporaryFolder();
    const first = await writeTrainingFiles(join(folder, 'first'));
    const second = await writeTrainingFiles(join(folder, 'second'), { seed: 7, train: [9], validation: [5] });
    return {
      data: [first.data, second.data] as const,
      flags: (out: string) => ({ ...smallRun(first, join(folder, out)), data: undefined, 'warmup-steps': 0 }),
    };
  }
});

describe('planning', () => {
  it.each([
    [{ model: 'small', 'bert-config': undefined, data: '/nowhere' }, 'there is no dataset in /nowhere'],
    [{ 'bert-config': '/nowhere.json' }, '/nowhere.json: no such file'],
  ])('refuses %j', async (change, message) => {
    const { folder, files: data } = await files();
    const flags = { ...smallRun(data, join(folder, 'run')), ...change };
    await expect(planRun(resolveConfig({ flags }))).rejects.toThrow(message);
  });

  it('warns of a micro-batch that takes more rows than a dataset has', async () => {
    const { folder, files: data } = await files();
    const flags = { ...smallRun(data, join(folder, 'run')), 'batch-size': 41 };
    const { notes } = await planRun(resolveConfig({ flags }));
    expect(notes).toEqual([
      `a micro-batch takes 41 rows of ${data.data}, which has 40 for training: rows come several times in one batch; prepare more text, or use a smaller --batch-size`,
    ]);
    const enough = await planRun(resolveConfig({ flags: { ...flags, 'batch-size': 40 } }));
    expect(enough.notes).toEqual([]);
  });

  it('refuses rows that are too long for the model and a tokenizer that was changed', async () => {
    const folder = await temporaryFolder();
    const data = await writeTrainingFiles(folder, { maxSeqLen: 24 });
    const flags = smallRun(data, join(folder, 'run'));
    await expect(planRun(resolveConfig({ flags }))).rejects.toThrow(
      'takes rows of at most 16 tokens, the rows of',
    );
    appendFileSync(join(data.data, 'tokenizer.json'), ' ');
    const config = resolveConfig({ flags: { ...flags, 'bert-config': undefined, model: 'tiny' } });
    await expect(planRun(config)).resolves.toBeDefined();
    const text = readFileSync(join(data.data, 'tokenizer.json'), 'utf8').replace('"word5"', '"other"');
    writeFileSync(join(data.data, 'tokenizer.json'), text);
    await expect(planRun(config)).rejects.toThrow('is not the one that its rows were made with');
  });
});
