/** What commands use of training. */
export { countParameters } from '../model/parameters.ts';
export { type RawSettings, resolveConfig } from './config.ts';
export { type MetricsLine, readMetrics } from './metrics.ts';
export { flopsPerUpdate, identityOf, planRun, type RunPlan, sharesOf } from './plan.ts';
export { recipeNames } from './recipes.ts';
export { chooseStart, type StartingPoint, type StartOptions } from './resume.ts';
export { type RunEvent, type TrainOptions, type TrainOutcome, train } from './run.ts';
export { runFiles } from './run-folder.ts';
export type { TrainConfig } from './settings.ts';
