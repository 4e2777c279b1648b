import { TacoError } from '../errors.ts';
import type { DocumentChunk, InputCursor, SourceCursor } from '../types.ts';
import { resolveSource } from './resolve.ts';
import { type Source, type SourceChunk, type SourceContext, type SourceIdentity, START } from './source.ts';
import { parseSourceSpecs } from './spec.ts';

/** All sources of a run as one sequence of chunks. */
export interface Input {
  readonly identities: readonly SourceIdentity[];
  /** Size of the files of all sources. */
  readonly totalBytes: number;
  /** The cursor of the very beginning. */
  start(): InputCursor;
  /**
   * Chunks from a cursor on; any chunk's `next` (or `at`) yields the same tail again.
   * `inputBytes` of a chunk counts the files of its own source.
   * @throws TacoError `mismatch` when the cursor is of another list of sources
   */
  read(from: InputCursor): AsyncIterable<DocumentChunk>;
}

/**
 * Resolves every source, pinned to commits and files, and joins them.
 * @param specs as given to `--source`, see spec.ts
 * @throws TacoError what is wrong with a source, in one line
 */
export async function openInput(specs: readonly string[], context: SourceContext): Promise<Input> {
  const sources: Source[] = [];
  for (const spec of parseSourceSpecs(specs)) sources.push(await resolveSource(spec, context));
  return mixSources(sources);
}

/**
 * Joins sources. Without weights they follow each other in the stated order. With weights the next chunk comes
 * from the source with the smallest delivered bytes / weight, the first of them on a tie; a source that has
 * ended drops out, the others go on until all have been read once.
 */
export function mixSources(sources: readonly Source[]): Input {
  const identities = sources.map((source) => source.identity);
  const weights = identities.map((identity) => identity.weight);
  return {
    identities,
    totalBytes: sources.reduce((sum, source) => sum + source.totalBytes, 0),
    start: () => ({ sources: sources.map(() => START), deliveredBytes: sources.map(() => 0) }),
    read: (from) => readMixed(sources, weights, from),
  };
}

async function* readMixed(
  sources: readonly Source[],
  weights: readonly (number | undefined)[],
  from: InputCursor,
): AsyncGenerator<DocumentChunk> {
  if (from.sources.length !== sources.length || from.deliveredBytes.length !== sources.length) {
    throw new TacoError(
      `the cursor is of ${from.sources.length} sources, this run has ${sources.length}; use the same --source flags`,
      { code: 'mismatch', stage: 'source' },
    );
  }
  const iterators = new Map<number, AsyncIterator<SourceChunk>>();
  const open = new Set(sources.keys());
  let at = from;
  try {
    for (;;) {
      const index = pickSource(open, at.deliveredBytes, weights);
      if (index === undefined) return;
      let iterator = iterators.get(index);
      if (iterator === undefined) {
        iterator = sources[index]!.read(at.sources[index]!)[Symbol.asyncIterator]();
        iterators.set(index, iterator);
      }
      const result = await iterator.next();
      if (result.done === true) {
        open.delete(index);
        iterators.delete(index);
        continue;
      }
      const chunk = result.value;
      const { documents, textBytes, reuse } = chunk;
      const next = advance(at, index, chunk.next, textBytes);
      yield { documents, textBytes, source: index, at, next, inputBytes: chunk.inputBytes, reuse };
      at = next;
    }
  } finally {
    for (const iterator of iterators.values()) await iterator.return?.();
  }
}

/** Which of the open sources gives the next chunk: the first of those that are furthest behind their share. */
export function pickSource(
  open: ReadonlySet<number>,
  deliveredBytes: readonly number[],
  weights: readonly (number | undefined)[],
): number | undefined {
  let best: number | undefined;
  let bestShare = Number.POSITIVE_INFINITY;
  for (const [index, weight] of weights.entries()) {
    if (!open.has(index)) continue;
    if (weight === undefined) return index;
    const share = deliveredBytes[index]! / weight;
    if (share < bestShare) {
      best = index;
      bestShare = share;
    }
  }
  return best;
}

function advance(at: InputCursor, index: number, cursor: SourceCursor, bytes: number): InputCursor {
  return {
    sources: at.sources.map((old, other) => (other === index ? cursor : old)),
    deliveredBytes: at.deliveredBytes.map((old, other) => (other === index ? old + bytes : old)),
  };
}
