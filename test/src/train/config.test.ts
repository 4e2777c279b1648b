import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../../../src/train/config.ts';
import { recipeNames } from '../../../src/train/recipes.ts';
import { settingsHash, toRecipeFile } from '../../../src/train/settings.ts';

const fileOf = (settings: unknown) => () => JSON.stringify(settings);

describe('resolveConfig', () => {
  it('without anything is TACO-small as the original trains it, on what prepare-data makes', () => {
    expect(resolveConfig({ flags: {} })).toEqual({
      data: ['cache/datasets/wiki-books-256'],
      out: 'runs/taco-small',
      mode: 'taco',
      model: 'small',
      batchSize: 128,
      gradAccum: 4,
      maxSteps: 250_000,
      lr: 1e-4,
      warmupSteps: 2_500,
      weightDecay: 0.01,
      maxGradNorm: 1,
      mlmProbability: 0.15,
      negK: 50,
      posWindow: 5,
      windowRule: 'readme',
      tau: 0.07,
      tcWeight: 1,
      variant: 'all',
      excludeSpecial: false,
      saveSteps: 2_500,
      saveTotalLimit: 3,
      evalSteps: 1000,
      evalRows: 2048,
      seed: 42,
      backend: 'auto',
      precision: 'auto',
      xla: false,
    });
  });

  it('takes a recipe by name', () => {
    expect(recipeNames).toEqual(['bert-small', 'taco-small', 'bert-base', 'taco-base']);
    for (const name of recipeNames) {
      const [mode, model] = name.split('-');
      const config = resolveConfig({ config: name, flags: {} });
      expect(config).toMatchObject({ mode: mode === 'bert' ? 'mlm' : 'taco', model, out: `runs/${name}` });
    }
    expect(resolveConfig({ config: 'taco-base', flags: {} })).toMatchObject({
      maxSteps: 500_000,
      warmupSteps: 10_000,
      saveSteps: 10_000,
    });
  });

  it('puts flags before the file and the file before the defaults', () => {
    const config = resolveConfig({
      config: 'run.json',
      readText: fileOf({ 'max-steps': 100, 'warmup-steps': 10, tau: 0.1 }),
      flags: { 'max-steps': 50, lr: undefined },
    });
    expect(config).toMatchObject({ maxSteps: 50, warmupSteps: 10, tau: 0.1, lr: 1e-4 });
  });

  it('gives the same configuration back from its recipe file', () => {
    const config = resolveConfig({ flags: { 'batch-size': 8, 'bert-config': 'small.json' } });
    const again = resolveConfig({ config: 'x', readText: fileOf(toRecipeFile(config)), flags: {} });
    expect(again).toEqual(config);
    expect(settingsHash(again)).toBe(settingsHash(config));
  });

  it('takes one dataset or a list of them, from flags and from a file', () => {
    const data = ['3:cache/datasets/wiki', '1:cache/datasets/books'];
    expect(resolveConfig({ flags: { data } }).data).toEqual(data);
    expect(resolveConfig({ flags: { data: ['a'] } }).data).toEqual(['a']);
    const config = resolveConfig({ config: 'f', readText: fileOf({ data }), flags: {} });
    expect(config.data).toEqual(data);
    expect(toRecipeFile(config).data).toEqual(data);
    const single = resolveConfig({ config: 'f', readText: fileOf({ data: 'a' }), flags: {} });
    expect(single.data).toEqual(['a']);
    expect(toRecipeFile(single).data).toBe('a');
    for (const one of [config, single]) {
      const readText = fileOf(toRecipeFile(one));
      expect(resolveConfig({ config: 'f', readText, flags: {} })).toEqual(one);
    }
  });

  it('lets a model by name replace a configuration file of a lower layer', () => {
    const readText = fileOf({ 'bert-config': 'odd.json' });
    expect(resolveConfig({ config: 'f', readText, flags: {} })).toMatchObject({
      bertConfig: 'odd.json',
      out: 'runs/taco-odd',
    });
    const config = resolveConfig({ config: 'f', readText, flags: { model: 'tiny' } });
    expect(config.bertConfig).toBeUndefined();
    expect(config.out).toBe('runs/taco-tiny');
  });

  it('is frozen', () => {
    expect(Object.isFrozen(resolveConfig({ flags: {} }))).toBe(true);
  });

  it.each([
    [{ tau: 0 }, '--tau is 0, expected a number above 0'],
    [{ tau: '0.1' }, '--tau is "0.1", expected a number above 0'],
    [{ 'batch-size': 2.5 }, '--batch-size is 2.5, expected a whole number of at least 1'],
    [{ 'max-steps': 0 }, '--max-steps is 0, expected a whole number of at least 1'],
    [{ 'mlm-probability': 1 }, '--mlm-probability is 1, expected a number above 0 and below 1'],
    [{ mode: 'gan' }, '--mode is "gan", expected one of mlm, taco'],
    [{ model: 'huge' }, '--model is "huge", expected one of tiny, mini, small, medium, base'],
    [{ 'pos-window': 1 }, '--pos-window is 1, expected a whole number of at least 2'],
    [{ 'max-steps': 10 }, '--warmup-steps is 2500, expected at most --max-steps, which is 10'],
    [{ 'batch-size': 1 }, '--batch-size is 1, expected at least 2 with --mode taco'],
    [{ 'window-rule': 'centered', 'pos-window': 4 }, '--pos-window is 4, expected an odd number'],
    [{ mode: 'mlm', tau: 0.1 }, '--tau has no effect with --mode mlm'],
    [{ model: 'tiny', 'bert-config': 'x.json' }, '--model and --bert-config are both given'],
    [{ data: [] }, '--data is [], expected a folder, or a list of folders with weights'],
    [{ data: 3 }, '--data is 3, expected a folder, or a list of folders with weights'],
    [{ data: ['3:a', 'b'] }, '--data b has no weight but others have'],
    [{ data: ['0:a'] }, '--data 0:a has weight 0, expected a number above 0'],
    [{ steps: 5 }, 'the command line has the unknown setting "steps"'],
  ])('refuses %j in one line', (flags, message) => {
    let thrown: unknown;
    try {
      resolveConfig({ flags });
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ name: 'TacoError', code: 'bad-config' });
    expect((thrown as Error).message).toContain(message);
    expect((thrown as Error).message).not.toContain('\n');
  });

  it('allows a batch of one row with MLM alone', () => {
    expect(resolveConfig({ flags: { mode: 'mlm', 'batch-size': 1 } }).batchSize).toBe(1);
  });

  it.each([
    ['{"lr": -1}', '"lr" in my.json is -1, expected a number above 0'],
    ['{"learningRate": 1}', 'my.json has the unknown setting "learningRate"'],
    ['[1]', 'my.json is not a JSON object'],
    ['{', 'my.json is not JSON'],
  ])('names what is wrong with the file %s', (text, message) => {
    expect(() => resolveConfig({ config: 'my.json', readText: () => text, flags: {} })).toThrow(message);
  });

  it('names the recipes when the file is not there', () => {
    expect(() => resolveConfig({ config: 'taco-smal', flags: {} })).toThrow(
      '--config is "taco-smal", expected one of bert-small, taco-small, bert-base, taco-base or a JSON file',
    );
  });
});

describe('settingsHash', () => {
  it('depends on what is learnt, not on where it lies', () => {
    const base = settingsHash(resolveConfig({ flags: {} }));
    expect(settingsHash(resolveConfig({ flags: { out: 'elsewhere' } }))).toBe(base);
    expect(settingsHash(resolveConfig({ flags: { tau: 0.1 } }))).not.toBe(base);
  });
});
