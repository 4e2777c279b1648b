import { concatMap, fromEvent, lastValueFrom, Subject, takeUntil, tap } from 'rxjs';
import { pullFrom } from './backpressure.ts';
import { CommitsBehind, type NoteCommit } from './shards/commits-behind.ts';
import type { CommitterOptions } from './shards/committer.ts';
import { ShardCommitter } from './shards/committer.ts';
import type { Input } from './sources/mix.ts';
import { MAX_CHUNK_BYTES } from './sources/chunker.ts';
import type { StageTimes } from './stage-times.ts';
import { tokenizeChunks } from './tokenize.ts';
import type { DocumentChunk, InputCursor, TokenChunk } from './types.ts';
import { type JobPool, tokenizerWindow } from './workers/job-pool.ts';

/** How far one source is; counts are of this stream alone. */
export interface SourceProgress {
  /** Bytes of the source's files that are behind. */
  readonly inputBytes: number;
  readonly totalInputBytes: number;
  readonly documents: number;
  readonly textBytes: number;
  /** Ids of the documents, without [CLS] and [SEP]. */
  readonly tokens: number;
}

/** After each chunk. */
export interface PrepareProgress {
  readonly sources: readonly SourceProgress[];
  /** The source that the chunk is of. */
  readonly source: number;
}

export interface PackInputOptions extends Omit<CommitterOptions, 'encoder'> {
  readonly input: Input;
  /** Decodes, tokenizes and encodes; ended when nothing is left for it. */
  readonly pool: JobPool;
  /** Aborted: stops behind the chunk that is being packed, or the commit that is under way. */
  readonly signal: AbortSignal;
  /** Notes a commit, while the next shards are being filled. */
  readonly onCommit: NoteCommit;
  readonly onProgress: (progress: PrepareProgress) => void;
}

/**
 * The composed stream: input ► threads ► packer ► threads ► shards. At most `tokenizerWindow` chunks and one are between
 * the input and the disk, whatever is slow, and of chunks larger than usual as many fewer. Settles when nothing is being
 * written any more, and leaves no temporary file.
 * @throws TacoError of whichever stage failed
 */
export async function packInput(options: PackInputOptions): Promise<void> {
  const { input, pool, signal, onCommit, onProgress, ...place } = options;
  if (signal.aborted) {
    pool.end();
    return;
  }
  const { times, start } = options;
  const committer = new ShardCommitter({ ...place, encoder: pool });
  const credits = new Subject<number>();
  /** Of the chunks under way, the oldest first. */
  const costs: number[] = [];
  const over = new AbortController();
  const stop = AbortSignal.any([signal, over.signal]);
  const isStopped = (): boolean => stop.aborted;
  const progress = progressOf(input, start.input);
  const commits = new CommitsBehind({
    note: onCommit,
    signal: stop,
    onEnd: () => {
      over.abort();
    },
  });
  let inFlight: Promise<void> = Promise.resolve();

  const pack = async (chunk: TokenChunk): Promise<void> => {
    for await (const full of committer.take(chunk)) {
      const startedAt = performance.now();
      await commits.add(full);
      times.write += performance.now() - startedAt;
      if (isStopped()) return;
    }
    onProgress(progress(chunk));
    pool.recycle(chunk.ids);
  };

  try {
    const chunks = timed(input.read(start.input), times);
    const packed = pullFrom(chunks, credits, tokenizerWindow(pool.workers) + 1, (chunk) => {
      const cost = costOf(chunk);
      costs.push(cost);
      return cost;
    }).pipe(
      tokenizeChunks(pool),
      concatMap((chunk) => {
        inFlight = pack(chunk);
        return inFlight.then(() => chunk);
      }),
      tap(({ isLast }) => {
        if (isLast) credits.next(costs.shift()!);
      }),
      takeUntil(fromEvent(stop, 'abort')),
    );
    await lastValueFrom(packed, { defaultValue: undefined });
    if (!isStopped()) await commits.add(await committer.finish(), true);
    await commits.settle();
  } finally {
    // When the stream was cut off, its last chunk and a commit may still be on the way to the disk.
    await inFlight.catch(() => undefined);
    await commits.settle().catch(() => undefined);
    pool.end();
    await committer.discard();
  }
}

/** Pages of one megabyte, which a unit may consist of, are no larger than usual. */
const LARGE_CHUNK_BYTES = 4 * MAX_CHUNK_BYTES;

/** How many chunks of usual size one counts for: by its text, or by its pages where these are more. */
function costOf({ documents, textBytes }: DocumentChunk): number {
  const storedBytes = documents.kind === 'parquet' ? documents.bytes.length : 0;
  return Math.max(1, Math.floor(Math.max(textBytes, storedBytes) / LARGE_CHUNK_BYTES));
}

/** Adds the time that each item is waited for. */
async function* timed(
  chunks: AsyncIterable<DocumentChunk>,
  times: StageTimes,
): AsyncGenerator<DocumentChunk> {
  let startedAt = performance.now();
  for await (const chunk of chunks) {
    times.fetch += performance.now() - startedAt;
    yield chunk;
    startedAt = performance.now();
  }
}

/** @returns counts one more part */
function progressOf(input: Input, from: InputCursor): (chunk: TokenChunk) => PrepareProgress {
  let sources: readonly SourceProgress[] = input.identities.map(({ files }, index) => {
    const bytes = (list: typeof files): number => list.reduce((sum, file) => sum + file.sizeBytes, 0);
    const inputBytes = bytes(files.slice(0, from.sources[index]?.file));
    return { inputBytes, totalInputBytes: bytes(files), documents: 0, textBytes: 0, tokens: 0 };
  });
  return ({ source, inputBytes, ends, textBytes, numTokens }) => {
    sources = sources.map((before, index) =>
      index === source
        ? {
            ...before,
            inputBytes,
            documents: before.documents + ends.length,
            textBytes: before.textBytes + textBytes,
            tokens: before.tokens + numTokens,
          }
        : before,
    );
    return { sources, source };
  };
}
