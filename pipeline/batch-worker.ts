/** Body of the thread behind `batches`: pulls against the credits it is sent, moves the arrays to its parent. */
import { parentPort, workerData } from 'node:worker_threads';
import { Observable } from 'rxjs';
import { pullFrom } from './backpressure.ts';
import type { BatchMessage, BatchWorkerData } from './batch-messages.ts';
import { errorMessageOf } from './errors.ts';
import type { WaitNotice } from './sources/source.ts';
import { trainingBatches } from './training-batches.ts';
import type { Batch } from './types.ts';

function buffersOf({ inputIds, attentionMask, maskedPositions, maskedLabels, pairs }: Batch): ArrayBuffer[] {
  const arrays = [inputIds, attentionMask, maskedPositions, maskedLabels];
  if (pairs !== undefined) arrays.push(pairs.anchors, pairs.positives, pairs.negatives);
  return arrays.flatMap((array) => (array === undefined ? [] : [array.buffer]));
}

const port = parentPort;
if (port === null) throw new Error('batch-worker.ts is the body of a worker thread');
const { options, prefetch, aliveEveryMs } = workerData as BatchWorkerData;
const alive = (): void => {
  port.postMessage({ kind: 'alive' } satisfies BatchMessage);
};
alive();
setInterval(alive, aliveEveryMs);
const credits$ = new Observable<number>((subscriber) => {
  port.on('message', (count: number) => {
    subscriber.next(count);
  });
});
const onWait = (notice: WaitNotice): void => {
  port.postMessage({ kind: 'wait', notice } satisfies BatchMessage);
};
pullFrom(trainingBatches({ ...options, onWait }), credits$, prefetch).subscribe({
  next: (batch) => {
    port.postMessage({ kind: 'batch', batch } satisfies BatchMessage, buffersOf(batch));
  },
  error: (error: unknown) => {
    port.postMessage({ kind: 'error', error: errorMessageOf(error) } satisfies BatchMessage);
  },
});
