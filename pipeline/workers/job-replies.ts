import { type ErrorMessage, errorMessageOf } from '../errors.ts';
import type { StageTimes } from '../stage-times.ts';
import { type Job, type JobResult, type JobRunner, memoryOf, movable } from './jobs.ts';

/** What a thread sends. Jobs are answered in the order in which they came. */
export type JobReply =
  | { readonly kind: 'ready' }
  /** One that is not the last of its job. */
  | { readonly kind: 'result'; readonly result: JobResult }
  | {
      readonly kind: 'done';
      /** The last one. */
      readonly result: JobResult;
      readonly times: Partial<StageTimes>;
      /** Of ids that were encoded, given back. */
      readonly memory: readonly ArrayBuffer[];
    }
  | { readonly kind: 'error'; readonly error: ErrorMessage };

/**
 * Does a job and answers it. The last result goes along with the end, not in front of it: each message wakes the main
 * thread up.
 * @param send takes replies, with what is moved along
 */
export function answerJob(
  runner: JobRunner,
  job: Job,
  send: (reply: JobReply, moved: readonly ArrayBuffer[]) => void,
): void {
  try {
    let last: JobResult | undefined;
    const times = runner.run(job, (result) => {
      if (last !== undefined) send({ kind: 'result', result: last }, buffersOf(last));
      last = result;
    });
    if (last === undefined) throw new TypeError(`a job to ${job.kind} gave nothing`);
    const memory = memoryOf(job);
    send({ kind: 'done', result: last, times, memory }, [...buffersOf(last), ...memory]);
  } catch (error) {
    send({ kind: 'error', error: errorMessageOf(error) }, []);
  }
}

function buffersOf(result: JobResult): ArrayBuffer[] {
  if (typeof result === 'string') return [];
  if ('bytes' in result) return [result.bytes.buffer];
  return movable(result.ids.buffer, result.validation.buffer);
}
