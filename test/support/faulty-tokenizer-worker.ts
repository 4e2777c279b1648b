import { parentPort, workerData } from 'node:worker_threads';
import { answerJob, type JobReply } from '../../pipeline/workers/job-replies.ts';
import type { JobWorkerData } from '../../pipeline/workers/job-worker.ts';
import { createJobRunner, type Job } from '../../pipeline/workers/jobs.ts';

/** A worker that does what the first document of a chunk says, and else its work. */
const port = parentPort!;
const { spec, settings } = workerData as JobWorkerData;
const runner = createJobRunner(spec, settings);
const answer = (reply: JobReply): void => {
  port.postMessage(reply);
};
answer({ kind: 'ready' });

port.on('message', (job: Job) => {
  const order = orderOf(job);
  if (order === 'exit') process.exit(3);
  if (order === 'throw') throw new Error('thrown in the worker');
  if (order === 'sleep') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  while (order === 'spin');
  if (order === 'refuse') {
    answer({ kind: 'error', error: { message: 'refused by the worker', details: undefined } });
    return;
  }
  answerJob(runner, job, answer);
});

function orderOf(job: Job): string {
  if (job.kind !== 'tokenize' || job.documents.kind !== 'text') return '';
  const { text, ends } = job.documents;
  return new TextDecoder().decode(text.subarray(0, ends[0]));
}
