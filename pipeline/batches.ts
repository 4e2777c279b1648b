import { Observable } from 'rxjs';
import { pullFrom } from './backpressure.ts';
import type { BatchMessage, BatchWorkerData } from './batch-messages.ts';
import { type BatchOptions, resolvePrefetch, resolveSampling } from './batch-options.ts';
import { aliveEveryMs, BatchWatch } from './batch-watch.ts';
import { parseDataSpecs } from './data-spec.ts';
import { messageOf, restoredError, TacoError } from './errors.ts';
import { trainingBatches } from './training-batches.ts';
import type { Batch } from './types.ts';
import { startWorker } from './workers/worker-thread.ts';

/**
 * The endless stream of training batches after a cursor, made in a worker thread. At most `prefetch` batches are
 * under way without credit; what is ahead is neither delivered nor counted, each batch carries the cursor after
 * itself. Unsubscribing ends the thread.
 *
 * @param credits$ each emission `n` says that `n` batches have been consumed
 * @returns errors with a TacoError: as `openMixture`; `mismatch` for a cursor of something else; `worker` when the
 *   thread dies or hangs
 * @throws TacoError `bad-config` at once
 */
export function batches(options: BatchOptions, credits$: Observable<number>): Observable<Batch> {
  parseDataSpecs(options.data);
  resolveSampling(options);
  const prefetch = resolvePrefetch(options.prefetch);
  if (options.worker === false) return pullFrom(startedBy(options), credits$, prefetch);
  return fromWorker(options, prefetch, credits$);
}

/** Each subscription iterates anew. */
function startedBy(options: BatchOptions): AsyncIterable<Batch> {
  return { [Symbol.asyncIterator]: () => trainingBatches(options) };
}

function fromWorker(
  options: BatchOptions,
  prefetch: number,
  credits$: Observable<number>,
): Observable<Batch> {
  // A function cannot be sent: the thread tells of its waits by messages.
  const { onWait, ...sent } = options;
  const { hangTimeoutMs = 20_000 } = options;
  const workerData: BatchWorkerData = { options: sent, prefetch, aliveEveryMs: aliveEveryMs(hangTimeoutMs) };
  return new Observable<Batch>((subscriber) => {
    const worker = startWorker(new URL('./batch-worker.ts', import.meta.url), {
      workerData,
      name: 'batches',
    });
    const died = (how: string, cause?: unknown): void => {
      subscriber.error(
        new TacoError(`the thread that makes batches ${how}; continue from the last checkpoint`, {
          code: 'worker',
          stage: 'batches',
          cause,
        }),
      );
    };
    const watch = new BatchWatch({ hangTimeoutMs, prefetch, onHang: died });
    worker.on('message', (message: BatchMessage) => {
      watch.hear(message.kind === 'batch');
      switch (message.kind) {
        case 'alive':
          break;
        case 'batch':
          subscriber.next(message.batch);
          break;
        case 'wait':
          watch.allow(message.notice.waitMs);
          onWait?.(message.notice);
          break;
        case 'error':
          subscriber.error(restoredError(message.error));
      }
    });
    worker.on('messageerror', (error) => {
      died(`sent something unreadable (${messageOf(error)})`, error);
    });
    worker.on('error', (error) => {
      died(`failed (${messageOf(error)})`, error);
    });
    worker.on('exit', (code) => {
      died(`ended with exit code ${code}`);
    });
    const creditsSubscription = credits$.subscribe({
      next: (count) => {
        watch.ask(count);
        worker.postMessage(count);
      },
      error: (error: unknown) => {
        subscriber.error(error);
      },
    });
    return () => {
      watch.end();
      creditsSubscription.unsubscribe();
      void worker.terminate();
    };
  });
}
