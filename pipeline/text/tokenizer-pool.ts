import { defer, map, Observable, type OperatorFunction } from 'rxjs';
import { TacoError } from '../errors.ts';
import type { DocumentChunk, TokenChunk } from '../types.ts';
import { TokenizerThread } from './tokenizer-thread.ts';
import type { TokenizerSpec } from './vocabulary.ts';
import { createTokenizer, type TokenizedDocuments } from './wordpiece.ts';

export interface TokenizeOptions {
  readonly spec: TokenizerSpec;
  /** Number of worker threads; 0 tokenizes in the calling thread. */
  readonly workers: number;
  /** Silence over 1 MB of text after which a worker counts as hung; more text, more time. Default 20,000 ms. */
  readonly hangTimeoutMs?: number;
  /** Module that the workers run. For tests. */
  readonly workerUrl?: URL;
}

/** Chunks handed to a worker at a time: it has the next one at hand when it finishes one. */
const CHUNKS_PER_WORKER = 2;

/** How many chunks a source should keep in flight so that no worker waits: `pullFrom`'s window. */
export function tokenizerWindow(workers: number): number {
  return CHUNKS_PER_WORKER * Math.max(1, workers) + 1;
}

/**
 * Tokenizes chunks in worker threads. Results come in the order of the input and do not depend on the number of
 * workers. The buffers of a chunk are moved to a worker: it cannot be read afterwards.
 *
 * Holds only what its source sends ahead of credit; `tokenizerWindow` says how much makes sense. Workers start with
 * the first chunks that need them and end with the stream, however it ends.
 *
 * Errors with TacoError `worker` when a worker fails, dies or hangs.
 * @throws TacoError `bad-config` when `workers` is no whole number
 */
export function tokenizeChunks(options: TokenizeOptions): OperatorFunction<DocumentChunk, TokenChunk> {
  const { workers, spec } = options;
  if (!Number.isInteger(workers) || workers < 0) {
    throw new TacoError(`workers is ${workers}, expected a whole number of at least 0`, {
      code: 'bad-config',
      stage: 'tokenizer',
    });
  }
  if (workers > 0) return (source) => inWorkers(source, options);
  return (source) =>
    defer(() => {
      const tokenizer = createTokenizer(spec);
      return source.pipe(map((chunk) => tokenizer.encodeChunk(chunk)));
    });
}

/** A chunk whose tokens are not out yet. */
interface Pending {
  readonly origin: Pick<DocumentChunk, 'source' | 'at' | 'next' | 'inputBytes'>;
  /** Present until a worker takes the chunk. */
  documents: { readonly text: Uint8Array<ArrayBuffer>; readonly ends: Uint32Array<ArrayBuffer> } | undefined;
  result: TokenizedDocuments | undefined;
}

function inWorkers(source: Observable<DocumentChunk>, options: TokenizeOptions): Observable<TokenChunk> {
  return new Observable<TokenChunk>((subscriber) => {
    const threads: TokenizerThread[] = [];
    /** By sequence number; the smallest is the next to go out. */
    const pending = new Map<number, Pending>();
    let numReceived = 0;
    let numTaken = 0;
    let numEmitted = 0;
    let isSourceDone = false;

    const startThread = (): TokenizerThread => {
      const thread = new TokenizerThread({
        spec: options.spec,
        url: options.workerUrl ?? new URL('./tokenizer-worker.ts', import.meta.url),
        hangTimeoutMs: options.hangTimeoutMs ?? 20_000,
        onResult: (sequence, result) => {
          const entry = pending.get(sequence);
          // A result that was under way when the stream ended.
          if (entry === undefined) return;
          entry.result = result;
          dispatch();
          emit();
        },
        onFailure: (error) => {
          subscriber.error(error);
        },
      });
      threads.push(thread);
      return thread;
    };

    const freeThread = (): TokenizerThread | undefined => {
      const [freest] = threads.toSorted((a, b) => a.numPending - b.numPending);
      if (freest?.numPending === 0) return freest;
      if (threads.length < options.workers) return startThread();
      return freest !== undefined && freest.numPending < CHUNKS_PER_WORKER ? freest : undefined;
    };

    const dispatch = (): void => {
      while (numTaken < numReceived && !subscriber.closed) {
        const thread = freeThread();
        if (thread === undefined) return;
        const entry = pending.get(numTaken)!;
        thread.send({ sequence: numTaken, ...entry.documents! });
        entry.documents = undefined;
        numTaken += 1;
      }
    };

    const emit = (): void => {
      while (!subscriber.closed) {
        const entry = pending.get(numEmitted);
        if (entry?.result === undefined) break;
        pending.delete(numEmitted);
        numEmitted += 1;
        subscriber.next({ ...entry.result, ...entry.origin });
      }
      if (isSourceDone && pending.size === 0) subscriber.complete();
    };

    subscriber.add(() => {
      for (const thread of threads) thread.end();
      pending.clear();
    });
    subscriber.add(
      source.subscribe({
        next: ({ text, ends, ...origin }) => {
          pending.set(numReceived, {
            origin,
            documents: { text: owned(text), ends: owned(ends) },
            result: undefined,
          });
          numReceived += 1;
          dispatch();
        },
        error: (error: unknown) => {
          subscriber.error(error);
        },
        complete: () => {
          isSourceDone = true;
          emit();
        },
      }),
    );
  });
}

/** The array itself where it has its buffer alone and can be moved, otherwise a copy. */
function owned<T extends Uint8Array<ArrayBuffer> | Uint32Array<ArrayBuffer>>(array: T): T {
  return array.byteLength === array.buffer.byteLength ? array : (array.slice() as T);
}
