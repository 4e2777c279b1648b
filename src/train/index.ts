/** What commands use of training. */
export { type RawSettings, resolveConfig } from './config.ts';
export { type Candidate, fillMask } from './fill-mask.ts';
export { type MetricsLine, readMetrics } from './metrics.ts';
export { identityOf, numParameters, planRun, type RunPlan } from './plan.ts';
export { chooseStart, type StartingPoint } from './resume.ts';
export { recipeNames } from './recipes.ts';
export { openTrainedModel, type TrainedModel } from './trained-model.ts';
export { type RunEvent, train, type TrainOptions, type TrainOutcome } from './run.ts';
export { runFiles } from './run-folder.ts';
export type { TrainConfig } from './settings.ts';
