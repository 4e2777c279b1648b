import { FileHasher, type FileToHash } from '../sources/file-hash.ts';
import type { TokenizerSpec } from '../text/vocabulary.ts';
import { createJobPool, type JobPool, type JobPoolOptions } from './job-pool.ts';

/**
 * Pools for one piece of work after another, the first of which may start its threads while it is not yet known what the
 * work is: until a thread is ready takes about as long as looking at a gigabyte of files.
 */
export class PoolAhead {
  readonly #options: Omit<JobPoolOptions, 'spec'>;
  #ahead: JobPool | undefined;
  readonly #hasher = new FileHasher();

  constructor(options: Omit<JobPoolOptions, 'spec'>) {
    this.#options = options;
  }

  /** Starts the threads of the pool that `take` gives next. */
  start(spec: TokenizerSpec): void {
    this.end();
    this.#ahead = createJobPool({ ...this.#options, spec });
    this.#ahead.start();
  }

  /** Hashes a file in the threads that were started, if some were. Rejects as `JobPool.hash`. */
  async hash(file: FileToHash): Promise<string> {
    return this.#ahead === undefined ? this.#hasher.hash(file) : this.#ahead.hash(file);
  }

  /** A pool, which is the caller's to end. @param spec the one that was last given to `start`, if one was */
  take(spec: TokenizerSpec): JobPool {
    const pool = this.#ahead ?? createJobPool({ ...this.#options, spec });
    this.#ahead = undefined;
    return pool;
  }

  /** Ends the threads that nobody took. */
  end(): void {
    this.#ahead?.end();
    this.#ahead = undefined;
  }
}
