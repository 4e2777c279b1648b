/**
 * GLUE: everything around the fine-tuning itself. The parts in the order of their use, for one checkpoint:
 *
 *     const data = await openGlue('nyu-mll/glue', context);                  // or a folder of the official files
 *     const task = glueTask('mnli');
 *     const key = { task: task.name, seed, checkpoint, data: data.identity, settings };
 *     if ((await findResult(folder, key)) === undefined) {                   // not finished before
 *       const train = encodeExamples(await data.read(task, task.train), tokenizer, 128);
 *       const options = { batchSize: 16, paddedLengths: paddedLengthsUpTo(128), mode: 'bucketed', seed };
 *       const epochs = [];
 *       for (let epoch = 1; epoch <= 4; epoch++) {
 *         const batches = planEpoch(lengthsOf(train), { ...options, epoch }); // ⌈examples / 16⌉ of them
 *         for (const planned of batches) train on assembleBatch(train, planned, 16, padId)
 *         for (const split of task.validations)                              // same way: batches name their rows, so
 *           metrics[split.name] = computeMetrics(task, predictionsOf(task, outputs), encoded.labels);
 *         epochs.push(epochEvaluation(epoch, step, metrics));
 *       }
 *       await writeResult(folder, createResult(key, epochs));                // atomic: done means noted
 *     }
 *
 * A batch's loss is Σ weights_B · loss_B / numExamples: rows of weight 0 only fill the shape up. In evaluation the
 * outputs of its first `numExamples` rows belong to the examples `rows_B`.
 *
 * Then, over the checkpoints' folders:
 *
 *     const models = [{ label: 'MLM', results: await readResults(folder) }, …];
 *     tableMarkdown(scoreTable(models, 'last'), 'last');                     // beside the published rows
 *     comparisonMarkdown(compareModels(models[0], models[1], 'last'), 'last');
 *     scorePlot(series, { title, scoreName });                               // src/report/score-plot.ts
 *     submissionFile(task, split, encoded.indexes, predictions);             // for each of `task.tests` that is there
 *     writeSubmission('submission.zip', files);                              // `submissionGaps` says what it lacks
 */
export {
  assembleBatch,
  type BatchMode,
  type EpochOptions,
  type GlueBatch,
  paddedLengthsUpTo,
  type PlannedBatch,
  planEpoch,
} from './batches.ts';
export { type Comparison, type ColumnComparison, compareModels, comparisonMarkdown } from './compare.ts';
export { GLUE_REPOSITORY, type GlueData, openGlue } from './data.ts';
export { type EncodedExamples, encodeExamples, lengthsOf, type PaddedRows, padRows } from './encode.ts';
export type { GlueExample } from './example.ts';
export { computeMetrics, type Metrics, predictionsOf, scoreOf } from './metrics.ts';
export {
  createResult,
  type EpochEvaluation,
  epochEvaluation,
  findResult,
  type FinetuningKey,
  type GlueResult,
  readResults,
  writeResult,
} from './results.ts';
export { submissionFile, type SubmissionFile, submissionGaps, writeSubmission } from './submission.ts';
export {
  type ChosenEpoch,
  type LabelledResults,
  type ScoreRow,
  scoreTable,
  tableJson,
  tableMarkdown,
} from './table.ts';
export {
  GLUE_TASKS,
  glueSplit,
  type GlueSplit,
  glueTask,
  type GlueTask,
  type GlueTaskName,
  type GlueTestSplit,
  isTestSplit,
  numOutputsOf,
} from './tasks.ts';
export { findResults } from './find-results.ts';
export { type FinetuneEvent, finetune, type FinetuneOptions } from './finetune.ts';
export { type InitialModel, readInitialModel, resultsFolderOf } from './initial-model.ts';
export { type GlueEvent, type GlueRun, packSubmission, runGlue } from './run-glue.ts';
export { checkpointScores } from './score-series.ts';
export { type FinetuneSettings, finetuneSettings } from './settings.ts';
export { readTask, type TaskData } from './task-data.ts';
