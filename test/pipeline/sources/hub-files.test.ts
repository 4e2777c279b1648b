import { describe, expect, test } from 'vitest';
import { chooseTrainFiles } from '../../../pipeline/sources/hub-files.ts';

const wikipedia = [
  'README.md',
  '20231101.en/train-00000-of-00002.parquet',
  '20231101.en/train-00001-of-00002.parquet',
];
const glue = [
  'cola/train-0.parquet',
  'cola/test-0.parquet',
  'sst2/train-0.parquet',
  'sst2/validation-0.parquet',
];

describe('chooseTrainFiles', () => {
  test.each<[string, readonly string[], string | undefined, readonly string[]]>([
    ['a config that is a folder', wikipedia, '20231101.en', wikipedia.slice(1)],
    ['the only config', wikipedia, undefined, wikipedia.slice(1)],
    ['one config of several', glue, 'sst2', ['sst2/train-0.parquet']],
    ['files in data', ['data/train-0.parquet', 'data/test-0.parquet'], undefined, ['data/train-0.parquet']],
    ['files in data, called default', ['data/train-0.parquet'], 'default', ['data/train-0.parquet']],
    [
      'a config below data',
      ['data/de/train.parquet', 'data/en/train.parquet'],
      'en',
      ['data/en/train.parquet'],
    ],
    [
      'the converted branch',
      ['c/train/0001.parquet', 'c/train/0000.parquet', 'c/test/0000.parquet', 'c/train/index.duckdb'],
      'c',
      ['c/train/0000.parquet', 'c/train/0001.parquet'],
    ],
    ['splits as folders at the top', ['train/0.parquet', 'test/0.parquet'], undefined, ['train/0.parquet']],
    ['a file called train', ['train.parquet', 'validation.parquet'], undefined, ['train.parquet']],
    [
      'no split in any name',
      ['sample/10BT/0.parquet', 'sample/10BT/1.parquet'],
      'sample/10BT',
      ['sample/10BT/0.parquet', 'sample/10BT/1.parquet'],
    ],
    [
      'a config whose name holds a split word',
      ['train-v2/a.parquet', 'train-v2/b.parquet'],
      'train-v2',
      ['train-v2/a.parquet', 'train-v2/b.parquet'],
    ],
    [
      'default among others',
      ['default/train/0.parquet', 'other/train/0.parquet'],
      undefined,
      ['default/train/0.parquet'],
    ],
  ])('%s', (_, paths, config, expected) => {
    expect(chooseTrainFiles(paths, config)).toMatchObject({ kind: 'files', paths: expected });
  });

  test('asks for a config where there are several, and lists them for a wrong one', () => {
    expect(chooseTrainFiles(glue, undefined)).toEqual({ kind: 'configs', configs: ['cola', 'sst2'] });
    expect(chooseTrainFiles(glue, 'colla')).toEqual({ kind: 'configs', configs: ['cola', 'sst2'] });
    expect(chooseTrainFiles(['data/train.parquet'], 'x')).toEqual({ kind: 'configs', configs: ['default'] });
  });

  test('does not take the beginning of a dataset for the whole', () => {
    expect(chooseTrainFiles(['c/partial-train/0000.parquet'], 'c')).toEqual({ kind: 'partial', config: 'c' });
  });

  test('no Parquet, or none to train on', () => {
    expect(chooseTrainFiles(['data.csv', 'README.md'], undefined)).toEqual({ kind: 'none' });
    expect(chooseTrainFiles([], 'c')).toEqual({ kind: 'none' });
    expect(chooseTrainFiles(['c/test-0.parquet'], 'c')).toEqual({ kind: 'none' });
  });
});
