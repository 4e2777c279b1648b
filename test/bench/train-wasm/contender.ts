import { createInterface } from 'node:readline';
import type { Batch } from '../../../pipeline/index.ts';
import { workloadBatches } from './workload.ts';

/** What asks a contender for a step. */
export const STEP = 'step';

/** One update of the model with a batch. @returns the loss of the batch before the update */
export type TrainOn = (batch: Batch) => number | Promise<number>;

/** What a contender answers to a line on its standard input, as one line of JSON. */
export interface Answer {
  /** Of one step, until its loss can be read. */
  readonly stepMs: number;
  readonly loss: number;
}

/** Makes one step for each line `STEP` on standard input, each with the next batch, and prints an `Answer`. */
export async function serve(trainOn: TrainOn): Promise<void> {
  const batches = workloadBatches();
  for await (const line of createInterface({ input: process.stdin })) {
    if (line !== STEP) throw new Error(`got "${line}", expected "${STEP}"`);
    const { value } = batches.next();
    const startedAt = performance.now();
    const loss = await trainOn(value);
    const answer: Answer = { stepMs: performance.now() - startedAt, loss };
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}
