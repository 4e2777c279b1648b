import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  epochEvaluation,
  findResult,
  readResults,
  resultPath,
  writeResult,
} from '../../../src/glue/results.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { glueResult, writeFiles } from '../../support/glue.ts';

describe('records of fine-tunings', () => {
  it('come back as they were written, in the order of tasks and seeds', async () => {
    const folder = join(await temporaryFolder(), 'mlm', 'glue');
    const results = [
      glueResult('cola', 2, 0.3),
      glueResult('cola', 11, 0.4, 0.5),
      glueResult('stsb', 2, Number.NaN, 0.8),
      glueResult('mnli', 2, [0.7, 0.6]),
    ];
    for (const result of [...results].reverse()) await writeResult(folder, result);
    expect(await readResults(folder)).toEqual(results);
    expect(await findResult(folder, results[1]!)).toEqual(results[1]);
    expect(await findResult(folder, { ...results[1]!, seed: 3 })).toBeUndefined();
    expect(await readResults(join(folder, 'none'))).toEqual([]);
    expect((await readdir(folder)).sort()).toEqual([
      'cola-seed-11.json',
      'cola-seed-2.json',
      'mnli-seed-2.json',
      'stsb-seed-2.json',
    ]);
  });

  it('know the best epoch, the first of equals, and the last', () => {
    const better = glueResult('cola', 1, 0.3, 0.5);
    expect([better.best, better.last]).toEqual([
      { epoch: 1, score: 0.5 },
      { epoch: 2, score: 0.3 },
    ]);
    expect(glueResult('cola', 1, 0.5, 0.5).best.epoch).toBe(1);
    expect(glueResult('mnli', 1, [0.7, 0.6]).last.score).toBeCloseTo(0.65, 12);
    expect(glueResult('stsb', 1, Number.NaN, 0.1).best).toEqual({ epoch: 1, score: 0.1 });
    const constant = epochEvaluation(1, 9, { validation: { pearson: Number.NaN, spearman: 0.5 } });
    expect(constant).toEqual({
      epoch: 1,
      step: 9,
      metrics: { validation: { pearson: null, spearman: 0.5 } },
      score: 0.25,
    });
  });

  it('of something else are refused by name', async () => {
    const folder = await temporaryFolder();
    const result = glueResult('cola', 1, 0.3);
    await writeResult(folder, result);
    const find = (more: object) => findResult(folder, { ...result, ...more });
    const path = resultPath(folder, 'cola', 1);
    await expect(find({ settings: { ...result.settings, learningRate: 3e-5 } })).rejects.toThrow(
      `${path} was made with learningRate 0.00005, now it is 0.00003; choose another folder or remove the file`,
    );
    await expect(find({ settings: { ...result.settings, warmup: 100 } })).rejects.toThrow(
      'was made with warmup not set, now it is 100',
    );
    await expect(find({ checkpoint: { id: 'runs/taco', step: 250_000 } })).rejects.toThrow(
      'was made with checkpoint runs/mlm@250000, now it is runs/taco',
    );
    await expect(find({ data: 'nyu-mll/glue@9876' })).rejects.toThrow('data nyu-mll/glue@0123, now it is');
  });

  it('that are damaged or contradict themselves are named', async () => {
    const folder = await temporaryFolder();
    const path = resultPath(folder, 'cola', 1);
    await writeResult(folder, glueResult('cola', 1, 0.3, 0.5));
    const whole = await readFile(path, 'utf8');
    const changed = async (from: string | RegExp, to: string) => {
      const text = whole.replace(from, to);
      expect(text).not.toBe(whole);
      await writeFile(path, text);
      return readResults(folder);
    };
    await expect(changed(/"last".*/s, '')).rejects.toThrow(
      /cola-seed-1\.json is no record of a fine-tuning .*remove it to make it again/,
    );
    await expect(changed('"version": 1', '"version": 2')).rejects.toThrow('version');
    await expect(changed('"seed": 1', '"seed": 2')).rejects.toThrow('it is of cola, seed 2');
    await expect(changed('"matthews": 0.5', '"accuracy": 0.5')).rejects.toThrow(
      'epoch 1 has the metrics accuracy, expected matthews',
    );
    await expect(changed('"validation": {', '"dev": {')).rejects.toThrow('splits dev, expected validation');
    await expect(changed('"matthews": 0.5', '"matthews": 0.6')).rejects.toThrow('epoch 1 has score 0.5');
    await expect(changed(/"best": \{\s*"epoch": 1/, '"best": { "epoch": 2')).rejects.toThrow(
      'best is epoch 2, expected 1',
    );
    await expect(changed(/"last": \{\s*"epoch": 2/, '"last": { "epoch": 1')).rejects.toThrow(
      'last is epoch 1, expected 2',
    );
  });

  it('lie beside other files without harm', async () => {
    const folder = await temporaryFolder();
    await writeFiles(folder, { '.tmp-cola-seed-1.json': '{', 'table.json': '{}', 'README.md': 'x' });
    expect(await readResults(folder)).toEqual([]);
  });
});
