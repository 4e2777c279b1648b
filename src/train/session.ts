import type { Batch } from '../../pipeline/index.ts';
import type {
  EvaluationSums,
  ImportOptions,
  MaskedInput,
  NamedArray,
  SessionOptions,
  StepMetrics,
  TrainStepOptions,
} from './session-types.ts';

export type * from './session-types.ts';
export { OPTIMIZER_STATE } from './session-types.ts';

export declare class TrainingSession {
  constructor(options: SessionOptions);
  trainStep(microBatches: readonly Batch[], options: TrainStepOptions): StepMetrics;
  evaluate(batch: Batch): EvaluationSums;
  predictMasked(input: MaskedInput): Float32Array<ArrayBuffer>;
  exportState(): Map<string, NamedArray>;
  importState(state: ReadonlyMap<string, NamedArray>, options: ImportOptions): void;
  dispose(): void;
}
