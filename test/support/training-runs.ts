import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readCheckpointTensors, verifyCheckpoint } from '../../src/train/checkpoint.ts';
import type { CheckpointState } from '../../src/train/checkpoint-state.ts';
import { type MetricsLine, readMetrics } from '../../src/train/metrics.ts';
import { runFiles } from '../../src/train/run-folder.ts';
import { readEventFile } from './event-files.ts';

/** Everything that a run leaves and that does not depend on the clock. */
export interface RunResult {
  readonly latest: string;
  readonly progress: CheckpointState['progress'];
  /** SHA-256 of the bits of every parameter and moment, by name. */
  readonly tensors: ReadonlyMap<string, string>;
  readonly metrics: readonly Partial<MetricsLine>[];
  /** Records of TensorBoard's file behind the first, which names the format. */
  readonly tensorboard: readonly TensorboardRecord[];
}

export interface TensorboardRecord {
  readonly step: number;
  readonly values: Readonly<Record<string, number>>;
}

export async function readRun(folder: string): Promise<RunResult> {
  const latest = (await readFile(join(folder, 'latest'), 'utf8')).trim();
  const checkpoint = join(folder, latest);
  const { progress } = await verifyCheckpoint(checkpoint);
  const tensors = new Map(
    [...(await readCheckpointTensors(checkpoint))].map(([name, { values }]) => [
      name,
      createHash('sha256').update(values).digest('hex'),
    ]),
  );
  const metrics = (await readMetrics(join(folder, runFiles.metrics))).map(withoutTimes);
  return { latest, progress, tensors, metrics, tensorboard: await readTensorboard(folder) };
}

async function readTensorboard(folder: string): Promise<readonly TensorboardRecord[]> {
  const [header, ...events] = await readEventFile(join(folder, runFiles.tensorboard));
  if (header?.fileVersion !== 'brain.Event:2') throw new Error('the file does not begin with its version');
  return events.map(({ step, values }) => {
    const untimed = [...values].filter(([tag]) => tag !== 'train/tokens_per_second');
    return { step, values: Object.fromEntries(untimed) };
  });
}

/** Times differ from run to run; everything else does not. */
function withoutTimes(line: MetricsLine): Partial<MetricsLine> {
  const times = new Set(['durationMs', 'tokensPerSecond', 'waitMs']);
  return Object.fromEntries(Object.entries(line).filter(([name]) => !times.has(name)));
}
