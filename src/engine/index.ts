export type { Backend, BackendChoice, OpenBackendOptions } from './backend.ts';
export { backendChoices, createProgram, openBackend } from './backend.ts';
export {
  choosePrecision,
  type Precision,
  type PrecisionChoice,
  precisionChoices,
  precisions,
} from './precision.ts';
export { measureMatrixPeak } from './matrix-peak.ts';
export type {
  CompiledStep,
  FeedSpec,
  FeedValues,
  Program,
  Signature,
  Step,
  StepScope,
  VariableSpec,
} from './program.ts';
