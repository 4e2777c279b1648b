import { messageOf, TacoError, restoredError } from '../errors.ts';
import type { StageTimes } from '../stage-times.ts';
import type { JobReply } from './job-replies.ts';
import type { JobWorkerData } from './job-worker.ts';
import { type Job, type JobResult, memoryOf, movable } from './jobs.ts';
import { startWorker, type WorkerThread } from './worker-thread.ts';

/** Text that makes the patience with a worker grow by its base again. */
const BYTES_OF_PATIENCE = 1 << 20;
/** Looks at a silent worker before it counts as hung. Several, so that a process that was asleep judges nobody. */
const LOOKS = 10;
/** A worker that starts on a busy machine compiles its modules first: this much silence at least is granted. */
const START_TIMEOUT_MS = 60_000;

export interface JobThreadOptions {
  /** What the worker is started with. */
  readonly workerData: JobWorkerData;
  readonly url: URL;
  /** Silence over 1 MB of text that makes the worker count as hung; longer in proportion for more text. */
  readonly hangTimeoutMs: number;
  /** At most once; nothing follows. */
  readonly onFailure: (error: TacoError) => void;
}

/** A job, with who waits for it. */
export interface AssignedJob {
  readonly job: Job;
  /** Bytes of text, of ids, or of a file: what patience is measured by. */
  readonly sizeBytes: number;
  readonly onResult: (result: JobResult) => void;
  /** @param memory that of ids that were encoded, given back */
  readonly onDone: (times: Partial<StageTimes>, memory: readonly ArrayBuffer[]) => void;
}

/** One worker thread that does jobs in order, with an eye on whether it lives. */
export class JobThread {
  readonly #worker: WorkerThread;
  readonly #options: JobThreadOptions;
  /** The jobs that the worker has, the oldest first. */
  readonly #pending: AssignedJob[] = [];
  #watch: NodeJS.Timeout | undefined;
  #silentLooks = 0;
  #isReady = false;
  #isEnded = false;

  constructor(options: JobThreadOptions) {
    this.#options = options;
    this.#worker = startWorker(options.url, { workerData: options.workerData, name: 'tokenizer' });
    this.#worker.on('message', (reply: JobReply) => {
      this.#receive(reply);
    });
    this.#worker.on('messageerror', (error) => {
      this.#fail(`a tokenizer worker sent what cannot be read: ${messageOf(error)}`, error);
    });
    this.#worker.on('error', (error) => {
      this.#fail(`a tokenizer worker failed: ${messageOf(error)}`, error);
    });
    this.#worker.on('exit', (status) => {
      this.#fail(`a tokenizer worker ended with status ${status} before its work was done`);
    });
  }

  /** How many jobs the worker has. */
  get numPending(): number {
    return this.#pending.length;
  }

  /** Moves the buffers of a job to the worker. */
  send(assigned: AssignedJob): void {
    this.#pending.push(assigned);
    this.#worker.postMessage(assigned.job, buffersOf(assigned.job));
    this.#watch ??= setInterval(() => {
      this.#look();
    }, this.#options.hangTimeoutMs / LOOKS);
  }

  /** Ends the worker at once, whatever it does. */
  end(): void {
    this.#isEnded = true;
    clearInterval(this.#watch);
    // Termination cannot fail in a way that concerns anybody: nothing of the worker is used any more.
    this.#worker.terminate().then(undefined, () => undefined);
  }

  #receive(reply: JobReply): void {
    if (this.#isEnded) return;
    this.#silentLooks = 0;
    switch (reply.kind) {
      case 'ready':
        this.#isReady = true;
        return;
      case 'result':
        this.#pending[0]!.onResult(reply.result);
        return;
      case 'done': {
        const { onResult, onDone } = this.#pending.shift()!;
        if (this.#pending.length === 0) {
          clearInterval(this.#watch);
          this.#watch = undefined;
        }
        onResult(reply.result);
        onDone(reply.times, reply.memory);
        return;
      }
      case 'error': {
        const error = restoredError(reply.error);
        this.#fail(error instanceof TacoError ? error : `a tokenizer worker failed: ${error.message}`);
      }
    }
  }

  #look(): void {
    this.#silentLooks += 1;
    const numMegabytes = Math.max(1, Math.ceil((this.#pending[0]?.sizeBytes ?? 0) / BYTES_OF_PATIENCE));
    const patienceMs = this.#options.hangTimeoutMs * numMegabytes;
    const limitMs = this.#isReady ? patienceMs : Math.max(patienceMs, START_TIMEOUT_MS);
    if ((this.#silentLooks * this.#options.hangTimeoutMs) / LOOKS <= limitMs) return;
    this.#fail(
      `a tokenizer worker has not answered for ${limitMs / 1000} s, expected an answer; run the command again`,
    );
  }

  #fail(what: string | TacoError, cause?: unknown): void {
    if (this.#isEnded) return;
    this.end();
    this.#options.onFailure(
      what instanceof TacoError ? what : new TacoError(what, { code: 'worker', stage: 'tokenizer', cause }),
    );
  }
}

function buffersOf(job: Job): ArrayBuffer[] {
  if (job.kind === 'hash') return [];
  if (job.kind === 'encode') return [...memoryOf(job), ...movable(job.spare)];
  const { documents } = job;
  return documents.kind === 'text'
    ? movable(documents.text.buffer, documents.ends.buffer)
    : movable(documents.bytes.buffer);
}
