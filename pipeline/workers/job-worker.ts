/** Body of a thread that does jobs: tokenizes documents, encodes row groups, hashes files. */
import { parentPort, workerData } from 'node:worker_threads';
import { type ErrorMessage, errorMessageOf } from '../errors.ts';
import type { StageTimes } from '../stage-times.ts';
import type { TokenizerSpec } from '../text/vocabulary.ts';
import type { DocumentSettings } from './part-encoder.ts';
import { createJobRunner, type Job, type JobResult, movable } from './jobs.ts';

/** What a thread is started with. */
export interface JobWorkerData {
  readonly spec: TokenizerSpec;
  readonly settings: DocumentSettings;
}

/** What a thread sends. Jobs are answered in the order in which they came. */
export type JobReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'result'; readonly result: JobResult }
  /** Gives back the memory of ids that were encoded. */
  | { readonly kind: 'done'; readonly times: Partial<StageTimes>; readonly memory?: ArrayBuffer }
  | { readonly kind: 'error'; readonly error: ErrorMessage };

function buffersOf(result: JobResult): ArrayBuffer[] {
  if (typeof result === 'string') return [];
  if (result instanceof Uint8Array) return [result.buffer];
  return movable(result.ids.buffer, result.validation.buffer);
}

const port = parentPort;
if (port === null) throw new Error('job-worker.ts is the body of a worker thread');
const { spec, settings } = workerData as JobWorkerData;
const runner = createJobRunner(spec, settings);
port.postMessage({ kind: 'ready' } satisfies JobReply);
port.on('message', (job: Job) => {
  try {
    const times = runner.run(job, (result) => {
      port.postMessage({ kind: 'result', result } satisfies JobReply, buffersOf(result));
    });
    if (job.kind === 'encode') {
      const memory = job.ids.buffer;
      port.postMessage({ kind: 'done', times, memory } satisfies JobReply, [memory]);
    } else port.postMessage({ kind: 'done', times } satisfies JobReply);
  } catch (error) {
    port.postMessage({ kind: 'error', error: errorMessageOf(error) } satisfies JobReply);
  }
});
