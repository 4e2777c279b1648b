/**
 * How long a large dataset takes to open and to go on with anywhere, and the memory that it takes: part of
 * batches.ts, which writes the dataset and starts this in a process of its own for each figure.
 *
 *     npx tsx test/bench/large-dataset.ts FOLDER open
 *     npx tsx test/bench/large-dataset.ts FOLDER POSITION
 *     npx tsx test/bench/large-dataset.ts FOLDER epochs
 */
import { spawnSync } from 'node:child_process';
import { firstValueFrom, Subject } from 'rxjs';
import { batches } from '../../pipeline/batches.ts';
import { openDataset } from '../../pipeline/shards/dataset.ts';
import { trainingBatches } from '../../pipeline/training-batches.ts';
import type { BatchCursor } from '../../pipeline/types.ts';
import { writeDataset } from '../support/dataset.ts';

const ROWS_PER_SHARD = 65_536;
const SEED = 42;

/** Writes `numRows` short rows, in as many shards as prepare-data would, and prints what they cost to use. */
export async function measureLargeDataset(folder: string, numRows: number): Promise<void> {
  const startedAt = performance.now();
  const shards = new Array<number>(Math.floor(numRows / ROWS_PER_SHARD)).fill(ROWS_PER_SHARD);
  const rest = numRows % ROWS_PER_SHARD;
  await writeDataset(folder, {
    maxSeqLen: 16,
    rowsPerGroup: 256,
    train: rest === 0 ? shards : [...shards, rest],
  });
  console.log(`${numRows} rows of 16 ids in ${seconds(performance.now() - startedAt)} of writing`);
  const positions = [0, Math.floor(numRows / 3), numRows - 1, 7 * numRows + 12_345];
  for (const task of ['open', ...positions.map(String), 'epochs']) {
    const { status } = spawnSync(process.execPath, ['--import', 'tsx', import.meta.filename, folder, task], {
      stdio: 'inherit',
    });
    if (status !== 0) throw new Error(`${task} ended with ${String(status)}`);
  }
}

async function measureOpening(folder: string): Promise<void> {
  const startedAt = performance.now();
  const dataset = await openDataset(folder);
  const openMs = performance.now() - startedAt;
  console.log(
    `opening ${dataset.numRows('train')} rows    ${seconds(openMs)}, peak ${megabytes(peakBytes())}`,
  );
}

/** From a stored cursor to the first batch, worker thread, opening and all. */
async function measureResuming(folder: string, position: number): Promise<void> {
  const { fingerprint } = await openDataset(folder);
  const startedAt = performance.now();
  const datasets = [{ fingerprint, weight: 1, position, lag: 0 }];
  const cursor: BatchCursor = { version: 2, seed: SEED, position, datasets };
  const batches$ = batches({ data: [folder], batchSize: 128, seed: SEED, taco: {}, cursor }, new Subject());
  await firstValueFrom(batches$, { defaultValue: undefined });
  const firstMs = performance.now() - startedAt;
  console.log(
    `first batch at row ${String(position).padEnd(10)} ${seconds(firstMs)}, peak ${megabytes(peakBytes())}`,
  );
}

/** Memory while two epochs go by: hundreds of windows. */
async function measureEpochs(folder: string): Promise<void> {
  const numRows = (await openDataset(folder)).numRows('train');
  const every = Math.ceil(numRows / 4);
  let next = 0;
  const startedAt = performance.now();
  for await (const { cursor } of trainingBatches({ data: [folder], batchSize: 512, seed: SEED })) {
    if (cursor.position >= next) {
      const { heapUsed, arrayBuffers, rss } = process.memoryUsage();
      console.log(
        `after ${String(cursor.position).padStart(9)} rows  RSS ${megabytes(rss)}, heap ${megabytes(heapUsed)}, arrays ${megabytes(arrayBuffers)}, ${seconds(performance.now() - startedAt)}`,
      );
      next += every;
    }
    if (cursor.position >= 2 * numRows) break;
  }
  console.log(`two epochs, MLM          peak ${megabytes(peakBytes())}`);
}

/** Of this process so far. */
function peakBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

if (process.argv[1] === import.meta.filename) {
  const [folder, task] = process.argv.slice(2) as [string, string];
  if (task === 'open') await measureOpening(folder);
  else if (task === 'epochs') await measureEpochs(folder);
  else await measureResuming(folder, Number(task));
}
