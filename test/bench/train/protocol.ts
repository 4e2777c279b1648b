import { createInterface } from 'node:readline';
import type { ModelName } from '../../../src/model/config.ts';
import type { Precision } from '../../../src/engine/index.ts';

/** What a contender trains, as the JSON of its first argument. */
export interface Task {
  readonly model: ModelName;
  /** L, H, A and F of that model, for contenders that do not know its name. */
  readonly numLayers: number;
  readonly hiddenSize: number;
  readonly numHeads: number;
  readonly intermediateSize: number;
  readonly vocabSize: number;
  readonly mode: 'mlm' | 'taco';
  readonly precision: Precision;
  readonly batchSize: number;
  readonly maxSeqLen: number;
  readonly numThreads: number;
  /** TensorFlow in Python only: compiled by XLA. */
  readonly xla: boolean;
}

/** First line of a contender, when model and data are there. */
export interface Ready {
  readonly version: string;
}

/** Answer to `step`. */
export interface StepAnswer {
  /** One update, from arrays to the loss as a number. */
  readonly ms: number;
  /** Processor time of all threads meanwhile. */
  readonly cpuMs: number;
  readonly loss: number;
  /** Ours: making the batch, masks and pairs included; training does that in another thread. */
  readonly batchMs?: number;
  /** Ours: of `ms`, what is spent inside TensorFlow's session; absent on other backends. */
  readonly sessionMs?: number;
  /** Ours: resident memory after the step. */
  readonly rssBytes?: number;
}

/** Answer to `quit`, the last one. */
export interface QuitAnswer {
  readonly peakBytes: number;
}

/** Answers `step` and `quit` on standard input until the latter; a line of JSON each. */
export async function serve(ready: Ready, step: () => StepAnswer, quit: () => QuitAnswer): Promise<void> {
  const say = (answer: Ready | StepAnswer | QuitAnswer): void => {
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  };
  say(ready);
  for await (const command of createInterface({ input: process.stdin })) {
    if (command === 'quit') break;
    say(step());
  }
  say(quit());
}
