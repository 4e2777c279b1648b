import { z } from 'zod';
import { TacoError } from './errors.ts';
import { type MixedDataset, shortFingerprint } from './mixture.ts';
import type { BatchCursor, DatasetCursor } from './types.ts';

/** Version of the order of rows, of masks and of pairs: whatever changes them raises it. */
const VERSION = 2;

const count = z.int().min(0);
const name = z.string().min(1);

const datasetSchema = z.strictObject({
  fingerprint: name,
  weight: z.int().min(1),
  position: count,
  lag: z.int(),
});

const cursorSchema = z
  .strictObject({
    version: z.literal(VERSION),
    seed: count,
    position: count,
    datasets: z.array(datasetSchema).min(1).readonly(),
  })
  .refine(({ position, datasets }) => sumOf(datasets, 'position') === position, {
    path: ['position'],
    error: 'is not the sum over the datasets',
  })
  .refine(({ datasets }) => isPossible(datasets), { path: ['datasets', 'lag'], error: 'cannot be' });

function sumOf(datasets: readonly DatasetCursor[], key: 'position' | 'weight' | 'lag'): number {
  return datasets.reduce((sum, dataset) => sum + dataset[key], 0);
}

function isPossible(datasets: readonly DatasetCursor[]): boolean {
  const total = sumOf(datasets, 'weight');
  return sumOf(datasets, 'lag') === 0 && datasets.every(({ lag }) => Math.abs(lag) < total);
}

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
 * Where a run goes on. Weights other than the cursor's apply from here on: the lags begin at 0, what was
 * delivered before is not made up for.
 * @param parts by ascending fingerprint
 * @throws TacoError `mismatch` naming both values when the cursor is of other datasets, another seed or version
 */
export function goOnAt(
  cursor: BatchCursor | undefined,
  { seed, parts }: { readonly seed: number; readonly parts: readonly MixedDataset[] },
): BatchCursor {
  const beginning = parts.map(({ dataset: { fingerprint }, weight }) => ({
    fingerprint,
    weight,
    position: 0,
    lag: 0,
  }));
  if (cursor === undefined) return { version: VERSION, seed, position: 0, datasets: beginning };
  const parsed = parseBatchCursor(cursor);
  const before = parsed.datasets.map(({ fingerprint }) => fingerprint);
  if (before.join() !== beginning.map(({ fingerprint }) => fingerprint).join()) {
    const now = parts.map(
      ({ dataset, reference }) => `${shortFingerprint(dataset.fingerprint)} (${reference})`,
    );
    throw mismatch(
      `the checkpoint was trained on dataset ${before.map(shortFingerprint).join(' and ')}, this run has ${now.join(' and ')}; give the data it was trained on, or start anew`,
    );
  }
  if (parsed.seed !== seed) {
    throw mismatch(
      `the checkpoint was trained with seed ${parsed.seed}, this run has seed ${seed}; give the same seed, or start anew`,
    );
  }
  if (parsed.datasets.every(({ weight }, index) => weight === parts[index]!.weight)) return parsed;
  const datasets = beginning.map((dataset, index) => ({
    ...dataset,
    position: parsed.datasets[index]!.position,
  }));
  return { ...parsed, datasets };
}
