/** Body of a thread that does jobs: tokenizes documents, encodes row groups. */
import { parentPort, workerData } from 'node:worker_threads';
import { type ErrorMessage, errorMessageOf } from '../errors.ts';
import type { StageTimes } from '../stage-times.ts';
import type { TokenizerSpec } from '../text/vocabulary.ts';
import { createJobRunner, type Job, type JobResult, memoryOf } from './jobs.ts';

/** What a thread is started with. */
export interface JobWorkerData {
  readonly spec: TokenizerSpec;
}

/** What a thread sends. Jobs are answered in the order in which they came. */
export type JobReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'result'; readonly result: JobResult }
  /** Gives back the memory of the job's documents or ids. */
  | { readonly kind: 'done'; readonly times: Partial<StageTimes>; readonly memory?: ArrayBuffer }
  | { readonly kind: 'error'; readonly error: ErrorMessage };

function buffersOf(result: JobResult): ArrayBuffer[] {
  if (result instanceof Uint8Array) return [result.buffer];
  return [result.ids.buffer, result.ends.buffer, result.hashes.buffer];
}

const port = parentPort;
if (port === null) throw new Error('job-worker.ts is the body of a worker thread');
const runner = createJobRunner((workerData as JobWorkerData).spec);
port.postMessage({ kind: 'ready' } satisfies JobReply);
port.on('message', (job: Job) => {
  try {
    const times = runner.run(job, (result) => {
      port.postMessage({ kind: 'result', result } satisfies JobReply, buffersOf(result));
    });
    const memory = memoryOf(job);
    port.postMessage({ kind: 'done', times, memory } satisfies JobReply, [memory]);
  } catch (error) {
    port.postMessage({ kind: 'error', error: errorMessageOf(error) } satisfies JobReply);
  }
});
