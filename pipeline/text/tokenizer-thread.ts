import { messageOf, TacoError } from '../errors.ts';
import { startWorker, type WorkerThread } from '../worker-thread.ts';
import type { TokenizerReply, TokenizerRequest, TokenizerWorkerData } from './tokenizer-worker.ts';
import type { TokenizerSpec } from './vocabulary.ts';
import type { TokenizedDocuments } from './wordpiece.ts';

/** Text that makes the patience with a worker grow by its base again. */
const BYTES_OF_PATIENCE = 1 << 20;
/** Looks at a silent worker before it counts as hung. Several, so that a process that was asleep judges nobody. */
const LOOKS = 10;
/** A worker that starts on a busy machine compiles its modules first: this much silence at least is granted. */
const START_TIMEOUT_MS = 60_000;

export interface TokenizerThreadOptions {
  readonly spec: TokenizerSpec;
  readonly url: URL;
  /** Silence over 1 MB of text that makes the worker count as hung; longer in proportion for more text. */
  readonly hangTimeoutMs: number;
  readonly onResult: (sequence: number, result: TokenizedDocuments) => void;
  /** At most once; nothing follows. */
  readonly onFailure: (error: TacoError) => void;
}

/** One worker thread that tokenizes, with an eye on whether it lives. */
export class TokenizerThread {
  readonly #worker: WorkerThread;
  readonly #options: TokenizerThreadOptions;
  /** Bytes of each chunk that the worker has, the oldest first. */
  readonly #pendingBytes: number[] = [];
  #watch: NodeJS.Timeout | undefined;
  #silentLooks = 0;
  #isReady = false;
  #isEnded = false;

  constructor(options: TokenizerThreadOptions) {
    this.#options = options;
    const workerData: TokenizerWorkerData = { spec: options.spec };
    this.#worker = startWorker(options.url, { workerData, name: 'tokenizer' });
    this.#worker.on('message', (reply: TokenizerReply) => {
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

  /** How many chunks the worker has. */
  get numPending(): number {
    return this.#pendingBytes.length;
  }

  /** Moves the buffers of a chunk to the worker. */
  send(request: TokenizerRequest): void {
    this.#pendingBytes.push(request.text.length);
    this.#worker.postMessage(request, [request.text.buffer, request.ends.buffer]);
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

  #receive(reply: TokenizerReply): void {
    if (this.#isEnded) return;
    this.#silentLooks = 0;
    if ('isReady' in reply) {
      this.#isReady = true;
      return;
    }
    this.#pendingBytes.shift();
    if (this.#pendingBytes.length === 0) {
      clearInterval(this.#watch);
      this.#watch = undefined;
    }
    if ('error' in reply) {
      this.#fail(`a tokenizer worker failed: ${reply.error}`);
    } else {
      this.#options.onResult(reply.sequence, reply.result);
    }
  }

  #look(): void {
    this.#silentLooks += 1;
    const numMegabytes = Math.max(1, Math.ceil((this.#pendingBytes[0] ?? 0) / BYTES_OF_PATIENCE));
    const patienceMs = this.#options.hangTimeoutMs * numMegabytes;
    const limitMs = this.#isReady ? patienceMs : Math.max(patienceMs, START_TIMEOUT_MS);
    if ((this.#silentLooks * this.#options.hangTimeoutMs) / LOOKS <= limitMs) return;
    this.#fail(
      `a tokenizer worker has not answered for ${limitMs / 1000} s, expected an answer; run the command again`,
    );
  }

  #fail(message: string, cause?: unknown): void {
    if (this.#isEnded) return;
    this.end();
    this.#options.onFailure(new TacoError(message, { code: 'worker', stage: 'tokenizer', cause }));
  }
}
