/** Looks at a silent thread before it counts as hung. Several, so that a process that was asleep judges nobody. */
const LOOKS = 10;
/** A thread that starts on a busy machine compiles its modules first: this much silence at least is granted. */
const START_TIMEOUT_MS = 60_000;
/**
 * A thread that lives may wait for a slow disk or network, which have their own timeouts; so much longer without a batch,
 * it waits for what never comes. Waits that it announces, for a Hub that limits its rate, do not count.
 */
const STALL_FACTOR = 30;

export interface BatchWatchOptions {
  /** Silence that makes the thread count as hung. */
  readonly hangTimeoutMs: number;
  /** Batches that are owed from the beginning. */
  readonly prefetch: number;
  /** @param what completes a sentence that begins with the thread. Called once. */
  readonly onHang: (what: string) => void;
}

/** An eye on a thread that owes batches: it must give signs of life, and, much later, a batch. */
export class BatchWatch {
  readonly #options: BatchWatchOptions;
  readonly #timer: NodeJS.Timeout;
  #numOwed: number;
  #looksWithoutSign = 0;
  #looksWithoutBatch = 0;
  #looksAllowed = 0;
  #isStarted = false;

  constructor(options: BatchWatchOptions) {
    this.#options = options;
    this.#numOwed = options.prefetch;
    this.#timer = setInterval(() => {
      this.#look();
    }, aliveEveryMs(options.hangTimeoutMs));
  }

  /** Credits were sent. */
  ask(count: number): void {
    if (this.#numOwed === 0) this.#looksWithoutBatch = 0;
    this.#numOwed += count;
  }

  /** The thread said that it waits; several waits may pass at the same time. */
  allow(waitMs: number): void {
    const numLooks = Math.ceil(waitMs / aliveEveryMs(this.#options.hangTimeoutMs));
    this.#looksAllowed = Math.max(this.#looksAllowed, numLooks);
  }

  /** The thread said something. */
  hear(isBatch: boolean): void {
    if (isBatch) this.#numOwed -= 1;
    if (isBatch || !this.#isStarted) this.#looksWithoutBatch = 0;
    this.#looksWithoutSign = 0;
    this.#isStarted = true;
  }

  end(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const isAllowed = this.#looksAllowed > 0;
    if (isAllowed) this.#looksAllowed -= 1;
    if (this.#numOwed <= 0) return;
    this.#looksWithoutSign += 1;
    if (!isAllowed) this.#looksWithoutBatch += 1;
    const { hangTimeoutMs } = this.#options;
    const startMs = this.#isStarted ? 0 : START_TIMEOUT_MS;
    const signLimitMs = Math.max(hangTimeoutMs, startMs);
    const batchLimitMs = Math.max(hangTimeoutMs * STALL_FACTOR, startMs);
    const lookMs = hangTimeoutMs / LOOKS;
    if (this.#looksWithoutSign * lookMs > signLimitMs) {
      this.#hang(`has not answered for ${signLimitMs / 1000} s`);
    } else if (this.#looksWithoutBatch * lookMs > batchLimitMs) {
      this.#hang(`has made no batch for ${batchLimitMs / 1000} s`);
    }
  }

  #hang(what: string): void {
    this.end();
    this.#options.onHang(what);
  }
}

/** How often a thread has to give a sign of life to one who loses patience after `hangTimeoutMs`. */
export function aliveEveryMs(hangTimeoutMs: number): number {
  return hangTimeoutMs / LOOKS;
}
