/** Body of a thread that does jobs: tokenizes documents, encodes row groups, hashes files. */
import { parentPort, workerData } from 'node:worker_threads';
import type { TokenizerSpec } from '../text/vocabulary.ts';
import { answerJob, type JobReply } from './job-replies.ts';
import { createJobRunner, type Job } from './jobs.ts';
import type { DocumentSettings } from './part-encoder.ts';

/** What a thread is started with. */
export interface JobWorkerData {
  readonly spec: TokenizerSpec;
  readonly settings: DocumentSettings;
}

const port = parentPort;
if (port === null) throw new Error('job-worker.ts is the body of a worker thread');
const { spec, settings } = workerData as JobWorkerData;
const runner = createJobRunner(spec, settings);
port.postMessage({ kind: 'ready' } satisfies JobReply);
port.on('message', (job: Job) => {
  answerJob(runner, job, (reply, moved) => {
    port.postMessage(reply, moved);
  });
});
