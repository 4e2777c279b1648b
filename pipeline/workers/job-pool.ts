import { TacoError } from '../errors.ts';
import type { ListPages, ListRows } from '../shards/page.ts';
import { MAX_GROUPS_UNDER_WAY, MAX_TIMES_UNDER_WAY } from '../shards/writer.ts';
import type { FileToHash } from '../sources/file-hash.ts';
import { ownMemory, sharedMemory, SpareMemory } from '../spare-memory.ts';
import { addStageTimes, type StageTimes } from '../stage-times.ts';
import type { TokenizerSpec } from '../text/vocabulary.ts';
import type { DocumentChunk } from '../types.ts';
import { type AssignedJob, JobThread } from './job-thread.ts';
import {
  bytesOf,
  createJobRunner,
  type JobResult,
  MAX_PART_BYTES,
  memoryOf,
  type TokenPart,
} from './jobs.ts';
import type { DocumentSettings } from './part-encoder.ts';

export interface JobPoolOptions {
  readonly spec: TokenizerSpec;
  readonly settings: DocumentSettings;
  /** Number of worker threads; 0 does the jobs in the calling thread. */
  readonly workers: number;
  /** Milliseconds of each stage are added here. */
  readonly times?: StageTimes;
  /** Silence over 1 MB of text after which a worker counts as hung; more text, more time. Default 20,000 ms. */
  readonly hangTimeoutMs?: number;
  /** Module that the workers run. For tests. */
  readonly workerUrl?: URL;
}

/** Threads that tokenize, encode and hash. What they give does not depend on how many they are. */
export interface JobPool {
  readonly workers: number;
  /** Starts all threads, which without it start when jobs need them. */
  start(): void;
  /**
   * Tokenizes a chunk, whose buffers are moved, or, shared ones, given back to its source when it is done.
   * @param onPart takes each part as soon as it is there
   * @returns settles behind the last part; rejects with TacoError `worker` when a worker fails, dies or hangs, or with
   *   the error of the documents; from then on every job does
   */
  tokenize(chunk: DocumentChunk, onPart: (part: TokenPart) => void): Promise<void>;
  /** Encodes row groups, whose buffers are moved, as pages of a shard. Rejects as `tokenize`. */
  encode(groups: readonly ListRows[]): Promise<ListPages>;
  /** Hashes a file, see `HashFile`. Rejects as `tokenize`, with what is wrong with the file too. */
  hash(file: FileToHash): Promise<string>;
  /** Memory for `numIds` ids to be encoded: that of ids that were, if there are some. What is in it is left as it is. */
  memoryForRows(numIds: number): Int32Array<ArrayBuffer>;
  /** Takes back the memory of ids, ends and hashes or of pages that nobody reads any more: a later job has its result there. */
  recycle(result: Int32Array | Uint8Array<ArrayBuffer>): void;
  /** Ends the threads at once. Jobs under way reject with TacoError `worker`. */
  end(): void;
}

/** Jobs handed to a worker at a time: it has the next one at hand when it finishes one. */
const JOBS_PER_WORKER = 2;

/** Text of a page, or a document, that is far from the usual. */
const LARGE_JOB_BYTES = 8 * 1024 * 1024;

/** How many chunks a source should keep in flight so that no worker waits: `pullFrom`'s window. */
export function tokenizerWindow(workers: number): number {
  return JOBS_PER_WORKER * Math.max(1, workers) + 1;
}

/**
 * @throws TacoError `bad-config` when `workers` is no whole number
 */
export function createJobPool(options: JobPoolOptions): JobPool {
  const { workers, times } = options;
  if (!Number.isInteger(workers) || workers < 0) {
    throw new TacoError(`workers is ${workers}, expected a whole number of at least 0`, {
      code: 'bad-config',
      stage: 'tokenizer',
    });
  }
  const dispatch = workers === 0 ? ownThread(options) : threadsOf(options);
  const run = (asked: Omit<QueuedJob, 'onDone' | 'reject'>): Promise<readonly ArrayBuffer[]> =>
    new Promise((resolve, reject) => {
      dispatch.run({
        ...asked,
        onDone: (spent, memory) => {
          if (times !== undefined) addStageTimes(times, spent);
          resolve(memory);
        },
        reject,
      });
    });
  const spares = {
    tokens: new SpareMemory(sharedMemory, tokenizerWindow(workers) + 1),
    rows: new SpareMemory(ownMemory, MAX_GROUPS_UNDER_WAY),
    pages: new SpareMemory(ownMemory, MAX_TIMES_UNDER_WAY),
  };
  /** For each part of a chunk. */
  const sparesFor = (textBytes: number): SharedArrayBuffer[] => {
    const numParts = Math.max(1, Math.ceil(textBytes / MAX_PART_BYTES));
    return Array.from({ length: numParts }, () => spares.tokens.take()).filter(
      (spare) => spare !== undefined,
    );
  };
  return {
    workers,
    async tokenize({ documents, textBytes, reuse }, onPart) {
      await run({
        job: { kind: 'tokenize', documents, spares: sparesFor(textBytes) },
        sizeBytes: textBytes,
        isUrgent: false,
        // A job of one kind has results of one type.
        onResult: onPart as AssignedJob['onResult'],
      });
      const { buffer } = bytesOf(documents);
      if (buffer instanceof SharedArrayBuffer) reuse?.(buffer);
    },
    async encode(groups) {
      let pages: JobResult | undefined;
      const memory = await run({
        job: { kind: 'encode', groups, spare: spares.pages.take() },
        sizeBytes: groups.reduce((sum, { ids }) => sum + ids.byteLength, 0),
        // What is packed leaves memory before more comes in.
        isUrgent: true,
        onResult: (result) => {
          pages = result;
        },
      });
      for (const ids of memory) spares.rows.give(ids);
      return pages as ListPages;
    },
    async hash(file) {
      let digest: JobResult | undefined;
      await run({
        job: { kind: 'hash', file },
        sizeBytes: file.sizeBytes,
        isUrgent: false,
        onResult: (result) => {
          digest = result;
        },
      });
      return digest as string;
    },
    memoryForRows: (numIds) => new Int32Array(spares.rows.takeBytes(4 * numIds), 0, numIds),
    start: dispatch.start,
    recycle(result) {
      if (result instanceof Uint8Array) spares.pages.give(result.buffer);
      else if (result.buffer instanceof SharedArrayBuffer) spares.tokens.give(result.buffer);
    },
    end: dispatch.end,
  };
}

interface QueuedJob extends AssignedJob {
  readonly isUrgent: boolean;
  readonly reject: (error: TacoError) => void;
}

interface Dispatcher {
  readonly start: () => void;
  readonly run: (job: QueuedJob) => void;
  readonly end: () => void;
}

function ownThread({ spec, settings }: JobPoolOptions): Dispatcher {
  const runner = createJobRunner(spec, settings);
  return {
    start: () => undefined,
    run: ({ job, onResult, onDone, reject }) => {
      try {
        onDone(runner.run(job, onResult), memoryOf(job));
      } catch (error) {
        reject(error as TacoError);
      }
    },
    end: () => undefined,
  };
}

function threadsOf({
  spec,
  settings,
  workers,
  workerUrl,
  hangTimeoutMs = 20_000,
}: JobPoolOptions): Dispatcher {
  const url = workerUrl ?? new URL('./job-worker.ts', import.meta.url);
  const threads: JobThread[] = [];
  const waiting: QueuedJob[] = [];
  const underWay = new Set<QueuedJob>();
  let failure: TacoError | undefined;

  const fail = (error: TacoError): void => {
    if (failure !== undefined) return;
    failure = error;
    for (const thread of threads) thread.end();
    const lost = [...underWay, ...waiting];
    underWay.clear();
    waiting.length = 0;
    for (const { reject } of lost) reject(error);
  };

  const startThread = (): JobThread => {
    const thread = new JobThread({ workerData: { spec, settings }, url, hangTimeoutMs, onFailure: fail });
    threads.push(thread);
    return thread;
  };

  const freeThread = ({ job, sizeBytes }: QueuedJob): JobThread | undefined => {
    // The buffers that a large job needs stay with its thread: one such thread is enough.
    const isLarge = job.kind !== 'hash' && sizeBytes > LARGE_JOB_BYTES;
    const [freest] =
      isLarge && threads.length > 0 ? threads : threads.toSorted((a, b) => a.numPending - b.numPending);
    if (freest?.numPending === 0) return freest;
    if (threads.length < workers && (!isLarge || threads.length === 0)) {
      return startThread();
    }
    return freest !== undefined && freest.numPending < JOBS_PER_WORKER ? freest : undefined;
  };

  const assign = (): void => {
    for (let job = waiting[0]; job !== undefined; job = waiting[0]) {
      const thread = freeThread(job);
      if (thread === undefined) return;
      waiting.shift();
      underWay.add(job);
      thread.send({
        ...job,
        onDone: (times, memory) => {
          underWay.delete(job);
          assign();
          job.onDone(times, memory);
        },
      });
    }
  };

  return {
    start: () => {
      while (threads.length < workers && failure === undefined) startThread();
    },
    run: (job) => {
      if (failure !== undefined) {
        job.reject(failure);
        return;
      }
      const firstPatient = job.isUrgent ? waiting.findIndex((other) => !other.isUrgent) : -1;
      waiting.splice(firstPatient === -1 ? waiting.length : firstPatient, 0, job);
      assign();
    },
    end: () => {
      fail(new TacoError('the work was given up', { code: 'worker', stage: 'tokenizer' }));
    },
  };
}
