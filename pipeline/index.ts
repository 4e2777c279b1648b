/** The public surface of the pipeline: the only file of it that `src/` imports. */
export { messageOf, systemCodeOf, TacoError } from './errors.ts';
export type { Batch, BatchCursor, ContrastivePairs, DatasetCursor, SpecialTokenIds } from './types.ts';
export type {
  BatchOptions,
  EvaluationOptions,
  PairOptions,
  PairVariant,
  SamplingOptions,
  WindowRule,
} from './batch-options.ts';
export { batches } from './batches.ts';
export { parseBatchCursor } from './cursor.ts';
export { type DataSpec, parseDataSpecs } from './data-spec.ts';
export { evaluationBatches } from './evaluation-batches.ts';
export { type MixedDataset, type Mixture, openMixture, shortFingerprint } from './mixture.ts';
export { createPrepareConfig, type PrepareConfig, type PrepareInput } from './config.ts';
export { type PrepareEvent, type PrepareOptions, prepare } from './prepare.ts';
export { type PrepareContext, type PreparePlan, planPreparation } from './prepare-plan.ts';
export type { PrepareProgress } from './prepare-stream.ts';
export { STAGES, type StageTimes } from './stage-times.ts';
export { keyOf, Random } from './random.ts';
export {
  AtomicFile,
  type CommittedFile,
  ensureFolder,
  sha256OfFile,
  syncFolder,
  writeFileAtomic,
} from './shards/atomic.ts';
export { type Dataset, openDataset } from './shards/dataset.ts';
export {
  describeMaking,
  describeSources,
  describeTotals,
  exact,
  type Fact,
  factTable,
  percent,
} from './shards/describe.ts';
export { planPush, push, type PushPlan } from './shards/push.ts';
export { diskFile, type LocalFile, memoryFile, missingFiles, totalBytesOf } from './shards/push-files.ts';
export {
  type BranchState,
  makeRepository,
  type PlannedRepository,
  planRepository,
  type PushEvent,
  type PushTargetOptions,
  pushUntilComplete,
} from './shards/push-repository.ts';
export { type RowSegment, segmentsOf } from './shards/segments.ts';
export { VectorFile } from './shards/vector-file.ts';
export { verifyDataset } from './shards/verify.ts';
export { type ByteFile, openLocalFile } from './sources/byte-file.ts';
export { createHub } from './sources/hub-client.ts';
export { createHubWriter } from './sources/hub-upload.ts';
export type { Manifest, ManifestShard, Split } from './shards/manifest.ts';
export { BUILTIN_TOKENIZER } from './text/builtin-vocabulary.ts';
export { readTokenizerFiles, tokenizerFilesOf } from './text/tokenizer-files.ts';
export type { AddedToken, TokenizerSpec } from './text/vocabulary.ts';
export { type FolderLock, lockFolder } from './shards/lock.ts';
export { HUB_CACHE } from './sources/hub-cache.ts';
export { createHubFiles, type HubFiles, hubFromEnvironment } from './sources/hub.ts';
export { type ModelFiles, openModelFiles, readModelFile } from './sources/model-files.ts';
export { type HubTables, openHubTables, type TableRow } from './sources/hub-tables.ts';
export type { Input } from './sources/mix.ts';
export type { Source, SourceContext, SourceFile, SourceIdentity, WaitNotice } from './sources/source.ts';
export { createTokenizer, type DecodeOptions, type Tokenizer } from './text/wordpiece.ts';
export {
  assemble,
  defineFunction,
  type F32,
  type F64,
  type FunctionBuilder,
  type I32,
  type Local,
  type Statement,
  type V128,
} from './wasm/assembler.ts';
export { f32, f32x4, f64, f64x2, i32, i32x4, i64x2, v128 } from './wasm/instructions.ts';
