/** What commands use of models that come and go. */
export { type Exported, type ExportOptions, exportModel } from './export-model.ts';
export { type ImportedModel, type ImportOptions, importModel, tokenizerOf } from './import-model.ts';
export { type ModelPushPlan, planModelPush, pushModel } from './push-model.ts';
