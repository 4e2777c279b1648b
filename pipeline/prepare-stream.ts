import { concatMap, fromEvent, lastValueFrom, Subject, takeUntil, tap } from 'rxjs';
import { pullFrom } from './backpressure.ts';
import type { Commit, CommitterOptions } from './shards/committer.ts';
import { ShardCommitter } from './shards/committer.ts';
import type { Input } from './sources/mix.ts';
import { tokenizeChunks, tokenizerWindow } from './text/tokenizer-pool.ts';
import type { TokenizerSpec } from './text/vocabulary.ts';
import type { TokenChunk } from './types.ts';

/** After each chunk; counts are of this stream alone. */
export interface PrepareProgress {
  /** Bytes of the sources' files that are behind. */
  readonly inputBytes: number;
  readonly totalInputBytes: number;
  readonly documents: number;
  readonly textBytes: number;
  /** Ids of the documents, without [CLS] and [SEP]. */
  readonly tokens: number;
}

export interface PackInputOptions extends Omit<CommitterOptions, 'specialTokenIds'> {
  readonly input: Input;
  readonly tokenizer: TokenizerSpec;
  /** Threads that tokenize; 0 tokenizes in this one. */
  readonly workers: number;
  /** Aborted: stops behind the chunk that is being packed. */
  readonly signal: AbortSignal;
  /** Notes a commit before packing goes on. @returns whether it does */
  readonly onCommit: (commit: Commit, isLast: boolean) => Promise<'go on' | 'stop'> | 'go on' | 'stop';
  readonly onProgress: (progress: PrepareProgress) => void;
}

/**
 * The composed stream: input ► tokenizer threads ► packer ► shards. At most `tokenizerWindow` chunks and one are between
 * the input and the disk, whatever is slow. Settles when nothing is being written any more, and leaves no
 * temporary file.
 * @throws TacoError of whichever stage failed
 */
export async function packInput(options: PackInputOptions): Promise<void> {
  const { input, tokenizer, workers, signal, onCommit, onProgress, ...place } = options;
  if (signal.aborted) return;
  const committer = new ShardCommitter({ ...place, specialTokenIds: tokenizer.specialTokenIds });
  const credits = new Subject<number>();
  const over = new AbortController();
  const stop = AbortSignal.any([signal, over.signal]);
  const isStopped = (): boolean => stop.aborted;
  let inFlight: Promise<void> = Promise.resolve();
  let progress: PrepareProgress = {
    inputBytes: 0,
    totalInputBytes: input.totalBytes,
    documents: 0,
    textBytes: 0,
    tokens: 0,
  };

  const pack = async (chunk: TokenChunk): Promise<void> => {
    for await (const commit of committer.take(chunk)) {
      if ((await onCommit(commit, false)) === 'stop') over.abort();
      if (isStopped()) return;
    }
    progress = {
      ...progress,
      inputBytes: chunk.inputBytes,
      documents: progress.documents + chunk.ends.length,
      textBytes: progress.textBytes + chunk.textBytes,
      tokens: progress.tokens + chunk.ids.length,
    };
    onProgress(progress);
  };

  try {
    const packed = pullFrom(input.read(options.start.input), credits, tokenizerWindow(workers) + 1).pipe(
      tokenizeChunks({ spec: tokenizer, workers }),
      concatMap((chunk) => {
        inFlight = pack(chunk);
        return inFlight;
      }),
      tap(() => {
        credits.next(1);
      }),
      takeUntil(fromEvent(stop, 'abort')),
    );
    await lastValueFrom(packed, { defaultValue: undefined });
    if (!isStopped()) await onCommit(await committer.finish(), true);
  } finally {
    // When the stream was cut off, its last chunk may still be on the way to the disk.
    await inFlight.catch(() => undefined);
    await committer.discard();
  }
}
