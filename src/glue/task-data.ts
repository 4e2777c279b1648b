import type { Tokenizer } from '../../pipeline/index.ts';
import type { GlueData } from './data.ts';
import { type EncodedExamples, encodeExamples } from './encode.ts';
import type { GlueSplit, GlueTask, GlueTestSplit } from './tasks.ts';

/** A split, encoded. */
export interface EncodedSplit<Split extends GlueSplit = GlueSplit> {
  readonly split: Split;
  readonly encoded: EncodedExamples;
}

/** What a fine-tuning reads of a task. */
export interface TaskData {
  readonly task: GlueTask;
  readonly train: EncodedExamples;
  readonly validations: readonly EncodedSplit[];
  /** Those that are there: without one there are no predictions to hand in. */
  readonly tests: readonly EncodedSplit<GlueTestSplit>[];
}

/**
 * Reads and encodes all splits of a task.
 * @throws TacoError `not-found` for a train or validation split that is missing, `corrupt` for a label outside the
 *   task's set
 */
export async function readTask(
  data: GlueData,
  task: GlueTask,
  tokenizer: Tokenizer,
  maxSeqLen: number,
): Promise<TaskData> {
  const encode = async <Split extends GlueSplit>(split: Split): Promise<EncodedSplit<Split>> => ({
    split,
    encoded: encodeExamples(await data.read(task, split), tokenizer, maxSeqLen),
  });
  const train = await encode(task.train);
  const validations: EncodedSplit[] = [];
  for (const split of task.validations) validations.push(await encode(split));
  const tests: EncodedSplit<GlueTestSplit>[] = [];
  for (const split of task.tests) if (await data.has(split)) tests.push(await encode(split));
  return { task, train: train.encoded, validations, tests };
}
