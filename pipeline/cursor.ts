import { z } from 'zod';
import { TacoError } from './errors.ts';
import type { BatchCursor } from './types.ts';

/** Version of the order of rows, of masks and of pairs: whatever changes them raises it. */
const VERSION = 1;

const cursorSchema = z.strictObject({
  version: z.literal(VERSION),
  dataset: z.string().min(1),
  seed: z.int().min(0),
  position: z.int().min(0),
});

function mismatch(message: string): TacoError {
  return new TacoError(message, { code: 'mismatch', stage: 'batches' });
}

/**
 * A cursor from a checkpoint's JSON.
 * @throws TacoError `mismatch` for another version, `corrupt` for anything that is not a cursor
 */
export function parseBatchCursor(value: unknown): BatchCursor {
  const version =
    typeof value === 'object' && value !== null && 'version' in value ? value.version : undefined;
  if (typeof version === 'number' && version !== VERSION) {
    throw mismatch(
      `the checkpoint's place in the data has version ${version}, this program reads version ${VERSION}; start anew, or go on with the version that wrote it`,
    );
  }
  const parsed = cursorSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new TacoError(
      `the checkpoint's place in the data is damaged (${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'unexpected form'}); use an earlier checkpoint`,
      { code: 'corrupt', stage: 'batches', cause: parsed.error },
    );
  }
  return parsed.data;
}

/**
 * The position to go on at.
 * @throws TacoError `mismatch` naming both values when the cursor is of another dataset, seed or version
 */
export function positionOf(
  cursor: BatchCursor | undefined,
  expected: { readonly folder: string; readonly fingerprint: string; readonly seed: number },
): number {
  if (cursor === undefined) return 0;
  const { dataset, seed, position } = parseBatchCursor(cursor);
  if (dataset !== expected.fingerprint) {
    throw mismatch(
      `the checkpoint was trained on dataset ${dataset}, ${expected.folder} holds dataset ${expected.fingerprint}; give the folder it was trained on, or start anew`,
    );
  }
  if (seed !== expected.seed) {
    throw mismatch(
      `the checkpoint was trained with seed ${seed}, this run has seed ${expected.seed}; give the same seed, or start anew`,
    );
  }
  return position;
}

/** State after `position` rows. */
export function cursorAt(position: number, dataset: string, seed: number): BatchCursor {
  return { version: VERSION, dataset, seed, position };
}
