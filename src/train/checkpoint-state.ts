import { z } from 'zod';
import { type BatchCursor, parseBatchCursor, TacoError } from '../../pipeline/index.ts';
import { precisions } from '../engine/precision.ts';

const count = z.int().nonnegative();

/** What a run learns and with what: recorded in every checkpoint, compared when the run is continued. */
const runSchema = z
  .strictObject({
    /** All settings, spelt like flags. */
    settings: z
      .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.array(z.string()).readonly()]))
      .readonly(),
    /** `settingsHash` of them. */
    settingsHash: z.string(),
    /** Every number of the model's configuration. */
    model: z.record(z.string(), z.number()).readonly(),
    data: z
      .strictObject({
        maxSeqLen: count,
        vocabSize: count,
        tokenizerSha256: z.string(),
        /** What was trained on, in the order in which it was given. */
        datasets: z
          .array(
            z
              .strictObject({ reference: z.string(), fingerprint: z.string(), weight: z.int().positive() })
              .readonly(),
          )
          .readonly(),
      })
      .readonly(),
    /** Backend that computed the last step, in its own words. */
    backend: z.string(),
    /** Type of its matrix products; there was only one before it was recorded. */
    precision: z.enum(precisions).default('f32'),
    /** Of this program and Node: see `codeVersions`. */
    versions: z.record(z.string(), z.string()).readonly(),
  })
  .readonly();

export type RunRecord = z.infer<typeof runSchema>;
/** A run that may be planned only: no backend was chosen yet. */
export type RunIdentity = Omit<RunRecord, 'backend' | 'precision'>;
/** A run about to be computed, or planned only. */
export type PlannedRun = RunIdentity & Partial<Pick<RunRecord, 'backend' | 'precision'>>;

const progressSchema = z
  .strictObject({
    /** Updates made, skipped ones included. */
    step: count,
    /** State of the batches after the last one consumed; null before the first. */
    cursor: z.custom<BatchCursor>().transform(parseBatchCursor).nullable(),
    /** Tokens that went through the encoder in training. */
    numTokens: count,
    /** Updates skipped because loss or gradient were not finite. */
    numSkipped: count,
    /** Of these, the ones right before this state. */
    numSkippedInARow: count,
    /** Step of the last finished evaluation; null before the first. */
    evaluatedAtStep: count.nullable(),
  })
  .readonly();

/** Where a run stands: everything that changes from step to step besides parameters and moments. */
export type RunProgress = z.infer<typeof progressSchema>;

/** Version of the checkpoint's files. */
const VERSION = 2;

const checkpointStateSchema = z
  .strictObject({
    version: z.literal(VERSION),
    progress: progressSchema,
    /** Length of the metrics file at this state. Lines behind it belong to steps that will be made again. */
    metricsBytes: count,
    /** Length of TensorBoard's file, likewise; there was none before it was recorded. */
    tensorboardBytes: count.default(0),
    run: runSchema,
  })
  .readonly();

export type CheckpointState = z.infer<typeof checkpointStateSchema>;

/**
 * The state of a checkpoint from its JSON.
 * @throws TacoError `mismatch` for another version of it or of its cursor, `corrupt` for anything else
 */
export function parseCheckpointState(value: unknown, folder: string): CheckpointState {
  const version =
    typeof value === 'object' && value !== null && 'version' in value ? value.version : undefined;
  if (typeof version === 'number' && version !== VERSION) {
    throw new TacoError(
      `${folder} has version ${version}, this program reads version ${VERSION}; go on with the version that wrote it, or begin anew with --no-resume`,
      { code: 'mismatch', stage: 'checkpoint', path: folder },
    );
  }
  const state = checkpointStateSchema.safeParse(value);
  if (state.success) return state.data;
  throw new TacoError(`${folder} is damaged: its state has not the form that was expected`, {
    code: 'corrupt',
    stage: 'checkpoint',
    path: folder,
    cause: state.error,
  });
}

/** Before the first step. */
export const initialProgress: RunProgress = Object.freeze({
  step: 0,
  cursor: null,
  numTokens: 0,
  numSkipped: 0,
  numSkippedInARow: 0,
  evaluatedAtStep: null,
});

/** The progress after one update. */
export function advance(
  progress: RunProgress,
  update: { readonly cursor: BatchCursor; readonly numTokens: number; readonly skipped: boolean },
): RunProgress {
  return {
    ...progress,
    step: progress.step + 1,
    cursor: update.cursor,
    numTokens: progress.numTokens + update.numTokens,
    numSkipped: progress.numSkipped + (update.skipped ? 1 : 0),
    numSkippedInARow: update.skipped ? progress.numSkippedInARow + 1 : 0,
  };
}
