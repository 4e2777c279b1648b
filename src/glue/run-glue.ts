import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  createTokenizer,
  ensureFolder,
  lockFolder,
  messageOf,
  systemCodeOf,
  TacoError,
  writeFileAtomic,
} from '../../pipeline/index.ts';
import type { Precision } from '../engine/index.ts';
import type { GlueData } from './data.ts';
import { type FinetuneEvent, finetune } from './finetune.ts';
import type { InitialModel } from './initial-model.ts';
import { createResult, findResult, type FinetuningKey, type GlueResult, writeResult } from './results.ts';
import type { FinetuneSettings } from './settings.ts';
import { type SubmissionFile, submissionGaps, writeSubmission } from './submission.ts';
import { readTask, type TaskData } from './task-data.ts';
import { GLUE_TASKS, type GlueTask } from './tasks.ts';

export interface GlueRun {
  readonly model: InitialModel;
  readonly data: GlueData;
  readonly tasks: readonly GlueTask[];
  readonly seeds: readonly number[];
  readonly settings: FinetuneSettings;
  /** What `settings.precision` became on the backend in use. */
  readonly precision: Precision;
  /** Folder of this model's results. */
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly report: (event: GlueEvent) => void;
}

/** A fine-tuning among others. */
export interface FinetuningPlace {
  readonly task: GlueTask;
  readonly seed: number;
}

export type GlueEvent = FinetuningPlace &
  (
    | FinetuneEvent
    /** Finished before: nothing is done again. */
    | { readonly kind: 'known'; readonly result: GlueResult }
    | { readonly kind: 'started'; readonly numExamples: number; readonly numTruncated: number }
    | { readonly kind: 'finished'; readonly result: GlueResult; readonly predictionFiles: readonly string[] }
  );

/**
 * Fine-tunes a model on tasks, each with every seed; what is finished is in the folder and not done again.
 * @returns one result for each, by task and then seed
 * @throws TacoError `mismatch` where the folder has results of other settings, data or weights; `locked`; as `readTask`
 *   and `finetune`
 */
export async function runGlue(run: GlueRun): Promise<readonly GlueResult[]> {
  const { model, tasks, seeds, folder, settings, report } = run;
  await ensureFolder(folder);
  const lock = await lockFolder(folder);
  try {
    const tokenizer = createTokenizer(model.tokenizer);
    const results: GlueResult[] = [];
    for (const task of tasks) {
      let data: TaskData | undefined;
      for (const seed of seeds) {
        const key = keyOf(run, task, seed);
        const known = await findResult(folder, key);
        if (known !== undefined) {
          report({ kind: 'known', task, seed, result: known });
          results.push(known);
          continue;
        }
        data ??= await readTask(run.data, task, tokenizer, settings['max-seq-len']);
        results.push(await finetuneOnce(run, data, key));
      }
    }
    return results;
  } finally {
    await lock.release();
  }
}

function keyOf({ model, data, settings, precision }: GlueRun, task: GlueTask, seed: number): FinetuningKey {
  return {
    task: task.name,
    seed,
    checkpoint: { id: model.id, step: model.step },
    data: data.identity,
    settings: { ...settings, precision },
  };
}

async function finetuneOnce(run: GlueRun, data: TaskData, key: FinetuningKey): Promise<GlueResult> {
  const { model, settings, precision, folder, signal } = run;
  const place = { task: data.task, seed: key.seed };
  const { numExamples, numTruncated } = data.train;
  run.report({ ...place, kind: 'started', numExamples, numTruncated });
  const { epochs, predictions } = await finetune({
    model: model.config,
    pretrained: model.tensors,
    data,
    settings,
    precision,
    seed: key.seed,
    signal,
    report: (event) => {
      run.report({ ...place, ...event });
    },
  });
  const predictionFiles: string[] = [];
  const target = predictionsFolder(folder, key.seed);
  await ensureFolder(target);
  for (const { name, text } of predictions) {
    const path = join(target, name);
    await writeFileAtomic(path, text);
    predictionFiles.push(path);
  }
  // Last: a result that is there means that everything of it is.
  const result = createResult(key, epochs);
  await writeResult(folder, result);
  run.report({ ...place, kind: 'finished', result, predictionFiles });
  return result;
}

function predictionsFolder(folder: string, seed: number): string {
  return join(folder, `predictions-seed-${seed}`);
}

/**
 * Packs the predictions of a seed for the GLUE server.
 * @returns the archive's path, or what is missing, a line each
 * @throws TacoError `disk`
 */
export async function packSubmission(
  folder: string,
  seed: number,
): Promise<{ readonly path: string } | { readonly gaps: readonly string[] }> {
  const files: SubmissionFile[] = [];
  for (const { tests } of Object.values(GLUE_TASKS)) {
    for (const { submission: name } of tests) {
      const text = await readPredictions(join(predictionsFolder(folder, seed), name));
      if (text === undefined) continue;
      files.push({ name, text, numExamples: text.split('\n').length - 2 });
    }
  }
  const gaps = submissionGaps(files);
  if (gaps.length > 0) return { gaps };
  const path = join(folder, `submission-seed-${seed}.zip`);
  await writeSubmission(path, files);
  return { path };
}

async function readPredictions(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw new TacoError(`cannot read ${path}: ${messageOf(error)}`, {
      code: 'disk',
      stage: 'glue',
      path,
      cause: error,
    });
  }
}
