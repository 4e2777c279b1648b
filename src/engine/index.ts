export type { Backend, BackendChoice, OpenBackendOptions, Precision } from './backend.ts';
export { backendChoices, createProgram, openBackend, precisions } from './backend.ts';
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
