import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createPrepareConfig, type PrepareInput, settingsOf } from '../../pipeline/config.ts';

describe('settings of prepare-data', () => {
  it('without any are the ones in the README', () => {
    const config = createPrepareConfig();
    expect(config).toMatchObject({
      sources: ['wikipedia', 'bookcorpus'],
      tokenizer: 'google-bert/bert-base-uncased',
      maxSeqLen: 256,
      packing: 'concat',
      remainder: 'pad',
      validation: 0.005,
      seed: 42,
      rowsPerShard: 65_536,
      rowsPerGroup: 256,
      cacheDownloads: false,
      out: join('cache', 'datasets', 'wiki-books-256'),
    });
    expect(config.workers).toBeGreaterThanOrEqual(1);
    expect(Object.isFrozen(config) && Object.isFrozen(config.sources)).toBe(true);
  });

  it.each([
    ['0.5%', 0.005],
    ['0.5 %', 0.005],
    ['0.005', 0.005],
    ['.01', 0.01],
    ['0', 0],
    ['50%', 0.5],
    [0.25, 0.25],
  ])('validation %s is %d', (validation, share) => {
    expect(createPrepareConfig({ validation }).validation).toBeCloseTo(share, 12);
  });

  it.each([
    [{}, 'wiki-books-256'],
    [{ maxSeqLen: 128 }, 'wiki-books-128'],
    [{ packing: 'documents' }, 'wiki-books-256-documents'],
    [{ tokenizer: 'bert-base-uncased' }, 'wiki-books-256'],
    [{ tokenizer: 'google-bert/bert-base-cased' }, 'wiki-books-256-bert-base-cased'],
    [{ sources: ['sample'], maxSeqLen: 64 }, 'sample-64'],
    [{ sources: ['bookcorpus', 'wikipedia'] }, 'bookcorpus-wikipedia-256'],
    [{ sources: ['file:data/a.jsonl'] }, 'a-256'],
  ] as const)('%o goes to %s', (input, name) => {
    expect(createPrepareConfig(input).out).toBe(join('cache', 'datasets', name));
  });

  it('small shards have small row groups', () => {
    expect(settingsOf(createPrepareConfig({ rowsPerShard: 64 }))).toMatchObject({
      rowsPerShard: 64,
      rowsPerGroup: 64,
    });
  });

  it.each<[PrepareInput, RegExp]>([
    [{ maxSeqLen: 7 }, /--max-seq-len is 7, expected a whole number from 8 to 8192/],
    [{ maxSeqLen: 128.5 }, /--max-seq-len is 128.5/],
    [{ packing: 'tight' }, /--packing is tight, expected concat or documents/],
    [{ remainder: 'keep' }, /--remainder is keep, expected pad or drop/],
    [{ validation: '60%' }, /--validation is 60%/],
    [{ validation: '-1' }, /--validation is -1/],
    [{ validation: 'half' }, /--validation is half/],
    [{ validation: '1e-3' }, /--validation is 1e-3/],
    [{ workers: -1 }, /--workers is -1/],
    [{ seed: 0.5 }, /--seed is 0.5/],
    [{ rowsPerShard: 1000 }, /--rows-per-shard is 1000, expected a multiple of 256/],
    [{ rowsPerShard: 2 ** 21, maxSeqLen: 512 }, /--rows-per-shard is 2097152, expected at most 524288/],
    [{ sources: ['wikpedia'] }, /--source wikpedia is not a source/],
    [{ sources: ['wikpedia'], out: 'x' }, /--source wikpedia is not a source/],
    [{ out: '' }, /--out is empty/],
    [{ tokenizer: '' }, /--tokenizer is empty/],
  ])('%o is refused with what was got and expected', (input, message) => {
    try {
      createPrepareConfig(input);
    } catch (error) {
      expect(error).toMatchObject({ code: 'bad-config' });
      expect((error as Error).message).toMatch(message);
      expect((error as Error).message).not.toContain('\n');
      return;
    }
    throw new Error('nothing was thrown');
  });
});
