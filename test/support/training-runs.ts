import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readCheckpointTensors, verifyCheckpoint } from '../../src/train/checkpoint.ts';
import type { CheckpointState } from '../../src/train/checkpoint-state.ts';
import { type MetricsLine, readMetrics } from '../../src/train/metrics.ts';

/** Everything that a run leaves and that does not depend on the clock. */
export interface RunResult {
  readonly latest: string;
  readonly progress: CheckpointState['progress'];
  /** Bits of every parameter and moment, by name. */
  readonly tensors: ReadonlyMap<string, readonly number[]>;
  readonly metrics: readonly Partial<MetricsLine>[];
}

export async function readRun(folder: string): Promise<RunResult> {
  const latest = (await readFile(join(folder, 'latest'), 'utf8')).trim();
  const checkpoint = join(folder, latest);
  const { progress } = await verifyCheckpoint(checkpoint);
  const tensors = new Map(
    [...(await readCheckpointTensors(checkpoint))].map(([name, { values }]) => [
      name,
      [...new Uint32Array(values.buffer)],
    ]),
  );
  const metrics = (await readMetrics(join(folder, 'metrics.jsonl'))).map(withoutTimes);
  return { latest, progress, tensors, metrics };
}

/** Times differ from run to run; everything else does not. */
function withoutTimes(line: MetricsLine): Partial<MetricsLine> {
  const times = new Set(['durationMs', 'tokensPerSecond', 'waitMs']);
  return Object.fromEntries(Object.entries(line).filter(([name]) => !times.has(name)));
}
