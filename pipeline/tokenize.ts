import { Observable, type OperatorFunction } from 'rxjs';
import type { DocumentChunk, TokenChunk } from './types.ts';
import type { JobPool } from './workers/job-pool.ts';
import type { TokenPart } from './workers/jobs.ts';

/** A chunk whose tokens are not all out yet. */
interface Pending {
  readonly origin: Pick<DocumentChunk, 'source' | 'at' | 'next' | 'inputBytes'>;
  readonly parts: TokenPart[];
  isDone: boolean;
}

/**
 * Tokenizes chunks in the threads of a pool. Results come in the order of the input, a chunk in one part or several,
 * and do not depend on the number of threads. The buffers of a chunk are moved, or shared and used again: it cannot be read afterwards.
 *
 * Holds only what its source sends ahead of credit; `tokenizerWindow` says how much makes sense. The pool is the
 * caller's to end. Errors as `JobPool.tokenize` rejects.
 */
export function tokenizeChunks(pool: JobPool): OperatorFunction<DocumentChunk, TokenChunk> {
  return (source) =>
    new Observable<TokenChunk>((subscriber) => {
      /** In the order of the input: the first is the next to go out. */
      const pending: Pending[] = [];
      let isSourceDone = false;

      const emit = (): void => {
        for (let first = pending[0]; first !== undefined && !subscriber.closed; first = pending[0]) {
          for (let part = first.parts.shift(); part !== undefined; part = first.parts.shift()) {
            subscriber.next({ ...part, ...first.origin });
          }
          if (!first.isDone) return;
          pending.shift();
        }
        if (isSourceDone && pending.length === 0) subscriber.complete();
      };

      subscriber.add(() => {
        pending.length = 0;
      });
      subscriber.add(
        source.subscribe({
          next: (chunk) => {
            const { source: index, at, next, inputBytes } = chunk;
            const entry: Pending = {
              origin: { source: index, at, next, inputBytes },
              parts: [],
              isDone: false,
            };
            pending.push(entry);
            const tokenized = pool.tokenize(chunk, (part) => {
              entry.parts.push(part);
              emit();
            });
            tokenized.then(
              () => {
                entry.isDone = true;
                emit();
              },
              (error: unknown) => {
                subscriber.error(error);
              },
            );
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
