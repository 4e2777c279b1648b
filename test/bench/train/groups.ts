import { availableParallelism } from 'node:os';
import { type ModelName, modelPreset } from '../../../src/model/config.ts';
import type { Contender, How } from './contender.ts';
import type { Task } from './protocol.ts';

/** Contenders that are measured at the same time, in turns; few enough for the memory of one machine. */
export interface Group {
  readonly name: string;
  readonly title: string;
  readonly contenders: readonly Contender[];
  /** Of the rounds asked for, so many are enough here. */
  readonly share: number;
  /** Whether the README's table is of it. */
  readonly isMain: boolean;
}

interface Size {
  readonly model: ModelName;
  readonly batchSize: number;
  readonly maxSeqLen: number;
}

type Entry = readonly [how: How, precision: Task['precision'], mode?: Task['mode']];

export const MASKED_SHARE = 0.15;
const small: Size = { model: 'small', batchSize: 16, maxSeqLen: 128 };

function group(
  name: string,
  { model, batchSize, maxSeqLen }: Size,
  entries: readonly Entry[],
  share = 1,
): Group {
  const { numLayers, hiddenSize, numHeads, intermediateSize, vocabSize } = modelPreset(model);
  const shape = { numLayers, hiddenSize, numHeads, intermediateSize, vocabSize };
  return {
    name,
    title: `BERT-${model}, ${batchSize} × ${maxSeqLen}`,
    share,
    isMain: model === small.model && batchSize === small.batchSize,
    contenders: entries.map(([how, precision, mode = 'mlm']) => ({
      how,
      task: {
        ...shape,
        ...{ model, mode, precision, batchSize, maxSeqLen },
        numThreads: availableParallelism(),
        xla: how === 'tf.function, XLA',
      },
    })),
  };
}

export const groups: readonly Group[] = [
  group('mlm-f32', small, [
    ['ours', 'f32'],
    ['original', 'f32'],
    ['tuned PyTorch', 'f32'],
    ['tf.function', 'f32'],
    ['tf.function, XLA', 'f32'],
  ]),
  group('mlm-bf16', small, [
    ['ours', 'bf16'],
    ['original', 'f32'],
    ['original', 'bf16'],
    ['tuned PyTorch', 'bf16'],
    ['tf.function', 'bf16'],
  ]),
  group('taco', small, [
    ['ours', 'f32'],
    ['ours', 'f32', 'taco'],
    ['ours', 'bf16', 'taco'],
    ['original', 'f32', 'taco'],
  ]),
  group(
    'taco-large',
    { model: 'small', batchSize: 32, maxSeqLen: 256 },
    [
      ['ours', 'f32'],
      ['ours', 'f32', 'taco'],
    ],
    0.5,
  ),
  group(
    'base',
    { model: 'base', batchSize: 8, maxSeqLen: 128 },
    [
      ['ours', 'f32'],
      ['ours', 'bf16'],
      ['original', 'f32'],
      ['tuned PyTorch', 'f32'],
      ['tuned PyTorch', 'bf16'],
      ['tf.function', 'f32'],
    ],
    0.4,
  ),
];

/** A smoke test: does it all run. */
export const quickGroup = group('quick', small, [
  ['ours', 'f32'],
  ['original', 'f32'],
]);

/** What runs for thousands of steps. */
export const soakTask = group('soak', { ...small, model: 'tiny' }, [['ours', 'f32', 'taco']]).contenders[0]!;
