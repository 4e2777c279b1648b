/**
 * GLUE: fine-tuning of a pretrained model, and what is made of the results.
 *
 *     const data = await openGlue('nyu-mll/glue', context);                  // or a folder of the official files
 *     const model = await readInitialModel('runs/taco-small', context);
 *     const folder = resultsFolderOf(model.name);
 *     const results = await runGlue({ model, data, tasks, seeds, settings, precision, folder, signal, report });
 *     const models = [{ label: model.name, results }];
 *     tableMarkdown(scoreTable(models, 'last'), 'last');                     // beside the published rows
 */
export { compareModels, comparisonMarkdown } from './compare.ts';
export { GLUE_REPOSITORY, openGlue } from './data.ts';
export { findResults } from './find-results.ts';
export { readInitialModel, resultsFolderOf } from './initial-model.ts';
export { computeMetrics, predictionsOf } from './metrics.ts';
export { type EpochEvaluation, epochEvaluation, type GlueResult } from './results.ts';
export { type GlueEvent, packSubmission, runGlue } from './run-glue.ts';
export { checkpointScores } from './score-series.ts';
export { type FinetuneSettings, finetuneSettings } from './settings.ts';
export { type ChosenEpoch, type LabelledResults, scoreTable, tableJson, tableMarkdown } from './table.ts';
export { readTask } from './task-data.ts';
export { GLUE_TASKS, glueTask, type GlueTask, numOutputsOf } from './tasks.ts';
