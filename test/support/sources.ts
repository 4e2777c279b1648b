import { createHash } from 'node:crypto';
import type { HubTuning } from '../../pipeline/sources/hub-client.ts';
import { type Source, type SourceChunk, START, type WaitNotice } from '../../pipeline/sources/source.ts';
import { PageDecoder } from '../../pipeline/sources/parquet-decode.ts';
import type { DocumentChunk, SourceCursor, TextDocuments } from '../../pipeline/types.ts';

/** All chunks of a source from a cursor on. */
export async function chunksOf(source: Source, from: SourceCursor = START): Promise<readonly SourceChunk[]> {
  const chunks: SourceChunk[] = [];
  for await (const chunk of source.read(from)) chunks.push(chunk);
  return chunks;
}

type HasDocuments = Pick<DocumentChunk, 'documents'>;

/** The documents of a chunk as text, decoded where they are pages, without the empty ones. */
export function textOf(documents: DocumentChunk['documents']): Omit<TextDocuments, 'kind'> {
  if (documents.kind === 'text') return documents;
  const parts: Uint8Array[] = [];
  for (const values of new PageDecoder().decode(documents)) {
    for (const value of values) if (value != null && value.length > 0) parts.push(value.slice());
  }
  let end = 0;
  const ends = Uint32Array.from(parts, (part) => (end += part.length));
  return { text: new Uint8Array(Buffer.concat(parts)), ends };
}

/** Chunks made comparable at once: long typed arrays by their hash. */
export function summariesOf(
  chunks: readonly (HasDocuments & { textBytes: number; next: unknown; inputBytes: number })[],
): readonly object[] {
  return chunks.map(({ documents, textBytes, next, inputBytes }) => {
    const { text, ends } = textOf(documents);
    return {
      text: createHash('sha256').update(text).digest('hex'),
      ends: createHash('sha256').update(ends).digest('hex'),
      numDocuments: ends.length,
      textBytes,
      next,
      inputBytes,
    };
  });
}

/** The documents of chunks, as bytes. */
export function documentsOf(chunks: Iterable<HasDocuments>): readonly Buffer[] {
  const documents: Buffer[] = [];
  for (const chunk of chunks) {
    const { text, ends } = textOf(chunk.documents);
    let start = 0;
    for (const end of ends) {
      documents.push(Buffer.from(text.subarray(start, end)));
      start = end;
    }
  }
  return documents;
}

/** The documents of a source, as text. */
export async function textsOf(source: Source, from: SourceCursor = START): Promise<readonly string[]> {
  return documentsOf(await chunksOf(source, from)).map((bytes) => bytes.toString('utf8'));
}

/** The message of what a promise rejects with; fails when it does not. */
export async function rejectionOf(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await promise;
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return { code, message };
  }
  throw new Error('expected a rejection, got a value');
}

/**
 * A clock that only moves when somebody sleeps; no jitter. Time limits of requests are real ones: long, that a
 * busy machine breaks none by itself; a test of silence wants them short.
 */
export class VirtualClock {
  readonly #silenceMs: number;

  constructor(silenceMs = 20_000) {
    this.#silenceMs = silenceMs;
  }

  nowMs = 1_700_000_000_000;
  readonly sleeps: number[] = [];
  readonly notices: WaitNotice[] = [];

  get tuning(): HubTuning {
    return {
      now: () => this.nowMs,
      random: () => 1,
      sleep: (ms) => {
        this.sleeps.push(ms);
        this.nowMs += ms;
        return Promise.resolve();
      },
      headersTimeoutMs: this.#silenceMs,
      stallTimeoutMs: this.#silenceMs,
      maxAttempts: 5,
    };
  }

  readonly onWait = (notice: WaitNotice): void => {
    this.notices.push(notice);
  };
}
