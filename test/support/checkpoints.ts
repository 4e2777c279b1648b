import type { CheckpointContent } from '../../src/train/checkpoint.ts';
import { initialProgress } from '../../src/train/checkpoint-state.ts';
import { cursorOf } from './cursors.ts';

/** A checkpoint of a made-up run, whose numbers follow from its step. */
export function contentAt(step: number): CheckpointContent {
  const values = (size: number, first: number) =>
    Float32Array.from({ length: size }, (_, index) => first + step + index);
  return {
    state: {
      version: 2,
      progress: {
        ...initialProgress,
        step,
        cursor: cursorOf(step * 4),
      },
      metricsBytes: step * 10,
      tensorboardBytes: step * 20,
      run: {
        settings: { mode: 'mlm', lr: 0.1, 'exclude-special': false },
        settingsHash: 'h',
        model: { hiddenSize: 2 },
        data: {
          maxSeqLen: 4,
          vocabSize: 5,
          tokenizerSha256: 't',
          datasets: [{ reference: 'data', fingerprint: 'f', weight: 1 }],
        },
        backend: 'wasm',
        precision: 'f32',
        versions: { 'taco-pretraining': '0.1.0', node: '20' },
      },
    },
    tensors: new Map([
      ['bert.weight', { shape: [2, 2], values: values(4, 0.5) }],
      ['optimizer.exp_avg.bert.weight', { shape: [2, 2], values: values(4, 7) }],
      ['optimizer.step', { shape: [], values: values(1, 0) }],
    ]),
    files: new Map([['config.json', '{}\n']]),
  };
}
