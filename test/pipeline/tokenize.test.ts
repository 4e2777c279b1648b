import type { Worker } from 'node:worker_threads';
import {
  concat,
  concatMap,
  defer,
  delay,
  EMPTY,
  finalize,
  from,
  lastValueFrom,
  NEVER,
  type Observable,
  of,
  type OperatorFunction,
  Subject,
  take,
  tap,
  throwError,
  toArray,
} from 'rxjs';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { pullFrom } from '../../pipeline/backpressure.ts';
import { TacoError } from '../../pipeline/errors.ts';
import { tokenizeChunks } from '../../pipeline/tokenize.ts';
import { createJobPool, type JobPoolOptions, tokenizerWindow } from '../../pipeline/workers/job-pool.ts';
import { createJobRunner, type TokenPart } from '../../pipeline/workers/jobs.ts';
import { createSpec } from '../../pipeline/text/vocabulary.ts';
import type { DocumentChunk, TokenChunk } from '../../pipeline/types.ts';

const started = vi.hoisted((): Worker[] => []);
vi.mock(import('../../pipeline/workers/worker-thread.ts'), async (original) => {
  const { startWorker } = await original();
  return {
    startWorker: (...args: Parameters<typeof startWorker>) => {
      const worker = startWorker(...args);
      started.push(worker);
      return worker;
    },
  };
});

/** A worker that has ended has thread id -1. */
const numAlive = (): number => started.filter((worker) => worker.threadId !== -1).length;

afterEach(async () => {
  await vi.waitFor(() => {
    expect(numAlive()).toBe(0);
  });
  started.length = 0;
});

const spec = createSpec({
  vocabulary: ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'b', '##a', '##b', '.'],
});
const settings = { validation: 0.3, seed: 1, dedup: 'exact' } as const;
const faultyUrl = new URL('../support/faulty-tokenizer-worker.ts', import.meta.url);

function chunkOf(index: number, documents: readonly string[]): DocumentChunk {
  const parts = documents.map((document) => new TextEncoder().encode(document));
  const text = new Uint8Array(Buffer.concat(parts));
  const cursor = (row: number) => ({ sources: [{ file: 0, group: 0, row }], deliveredBytes: [row] });
  const ends = Uint32Array.from(parts, (_, last) =>
    parts.slice(0, last + 1).reduce((sum, part) => sum + part.length, 0),
  );
  return {
    documents: { kind: 'text', text, ends },
    textBytes: text.length,
    source: index % 2,
    at: cursor(index),
    next: cursor(index + 1),
    inputBytes: 100 * index,
  };
}

/** Chunks of very different sizes, so that workers finish out of order. */
const manyChunks = (count: number): DocumentChunk[] =>
  Array.from({ length: count }, (_, index) =>
    chunkOf(index, [`${'ab '.repeat(index % 5 === 0 ? 4000 : 1)}.`, '', `ba${'b'.repeat(index)} é`]),
  );

const expected = (chunks: readonly DocumentChunk[]): TokenChunk[] => {
  const runner = createJobRunner(spec, settings);
  return chunks.flatMap(({ documents, source, at, next, inputBytes }) => {
    const parts: TokenPart[] = [];
    runner.run({ kind: 'tokenize', documents, spares: [] }, (part) => parts.push(part as TokenPart));
    return parts.map((part) => ({ ...part, source, at, next, inputBytes }));
  });
};

/** `tokenizeChunks` with a pool of its own, which ends with the stream. */
const inPool = (
  options: Omit<JobPoolOptions, 'spec' | 'settings'>,
): OperatorFunction<DocumentChunk, TokenChunk> => {
  return (source) =>
    defer(() => {
      const pool = createJobPool({ spec, settings, ...options });
      return source.pipe(
        tokenizeChunks(pool),
        finalize(() => {
          pool.end();
        }),
      );
    });
};

const collect = (source: Observable<DocumentChunk>, workers: number, url?: URL): Promise<TokenChunk[]> =>
  lastValueFrom(
    source.pipe(inPool({ workers, ...(url === undefined ? {} : { workerUrl: url }) }), toArray()),
    { defaultValue: [] },
  );

test.each([0, 1, 2, 3])(
  'many chunks with %i workers: same content, same order, cursors and sizes carried through',
  async (workers) => {
    const want = expected(manyChunks(23));
    expect(want[7]?.next.deliveredBytes).toEqual([8]);
    expect(await collect(from(manyChunks(23)), workers)).toEqual(want);
    expect(started).toHaveLength(workers);
  },
);

describe.each([0, 2])('tokenizeChunks with %i workers', (workers) => {
  test('no chunk: completes and starts no worker', async () => {
    expect(await collect(EMPTY, workers)).toEqual([]);
    expect(started).toHaveLength(0);
  });

  test('one chunk', async () => {
    const want = expected(manyChunks(1));
    expect(await collect(from(manyChunks(1)), workers)).toEqual(want);
    expect(started).toHaveLength(Math.min(workers, 1));
  });

  test('an error of the source goes through', async () => {
    const source = concat(
      from(manyChunks(2)),
      throwError(() => new Error('the source broke')),
    );
    await expect(collect(source, workers)).rejects.toThrow('the source broke');
  });

  test('unsubscribing early ends everything', async () => {
    const source = concat(from(manyChunks(9)), NEVER).pipe(inPool({ workers }), take(2), toArray());
    expect(await lastValueFrom(source, { defaultValue: [] })).toEqual(expected(manyChunks(2)));
  });

  test('a slow consumer holds the source back', async () => {
    const window = tokenizerWindow(workers);
    let numPulled = 0;
    let numDone = 0;
    let highWater = 0;
    async function* produce(): AsyncGenerator<DocumentChunk> {
      for (const chunk of manyChunks(20)) {
        numPulled += 1;
        highWater = Math.max(highWater, numPulled - numDone);
        yield await Promise.resolve(chunk);
      }
    }
    const credits$ = new Subject<number>();
    const results = await lastValueFrom(
      pullFrom(produce(), credits$, window).pipe(
        inPool({ workers }),
        concatMap((chunk) => of(chunk).pipe(delay(5))),
        tap(() => {
          numDone += 1;
          credits$.next(1);
        }),
        toArray(),
      ),
      { defaultValue: [] },
    );
    expect(results).toEqual(expected(manyChunks(20)));
    expect(highWater).toBeLessThanOrEqual(window);
    expect(highWater).toBeGreaterThan(1);
  });
});

describe('workers that fail', () => {
  test.each([
    ['exit', 'a tokenizer worker ended with status 3 before its work was done'],
    ['throw', 'a tokenizer worker failed: thrown in the worker'],
    ['refuse', 'a tokenizer worker failed: refused by the worker'],
    ['spin', 'a tokenizer worker has not answered for 1 s, expected an answer; run the command again'],
    ['sleep', 'a tokenizer worker has not answered for 1 s, expected an answer; run the command again'],
  ])('%s: an error within seconds, with what came before', async (order, message) => {
    const seen: TokenChunk[] = [];
    const begun = performance.now();
    const failure = await new Promise<unknown>((resolve) => {
      // The source never ends: only the worker's fate can end the stream.
      concat(from([...manyChunks(1), chunkOf(1, [order, 'a'])]), NEVER)
        .pipe(inPool({ workers: 1, workerUrl: faultyUrl, hangTimeoutMs: 1000 }))
        .subscribe({ next: (chunk) => seen.push(chunk), error: resolve });
    });
    expect(failure).toBeInstanceOf(TacoError);
    expect(failure).toMatchObject({ code: 'worker', stage: 'tokenizer', message });
    expect(seen).toEqual(expected(manyChunks(1)));
    expect(performance.now() - begun).toBeLessThan(15_000);
  });

  test('a module that cannot be loaded', async () => {
    const missing = new URL('../support/no-such-worker.ts', import.meta.url);
    await expect(collect(from(manyChunks(1)), 1, missing)).rejects.toMatchObject({ code: 'worker' });
  });

  test('the faulty worker works where it is not told otherwise', async () => {
    expect(await collect(from(manyChunks(3)), 2, faultyUrl)).toEqual(expected(manyChunks(3)));
  });
});

test.each([-1, 1.5, Number.NaN])('workers: %d is refused', (workers) => {
  expect(() => createJobPool({ spec, settings, workers })).toThrow(
    `workers is ${workers}, expected a whole number of at least 0`,
  );
});
