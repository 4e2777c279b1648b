import type { RowGroup } from '../../pipeline/pack.ts';
import { keyOf } from '../../pipeline/random.ts';
import type { InputCursor, TokenChunk } from '../../pipeline/types.ts';

/** A tokenized document of a test. */
export type TestDocument = readonly number[];

/** A stand-in for the hash of a document's bytes, four words of 32 bits: a function of its content. */
export function documentHash(ids: TestDocument): readonly [number, number, number, number] {
  return [keyOf(2, ...ids), keyOf(1, ...ids), keyOf(3, ...ids), keyOf(4, ...ids)];
}

const nowhere: InputCursor = { sources: [], deliveredBytes: [] };

/** Documents as the tokenizer would deliver them. */
export function chunkOf(
  documents: readonly TestDocument[],
  at: InputCursor = nowhere,
  next: InputCursor = nowhere,
): TokenChunk {
  let end = 0;
  return {
    ids: Int32Array.from(documents.flat()),
    ends: Uint32Array.from(documents, (ids) => {
      end += ids.length;
      return end;
    }),
    hashes: Uint32Array.from(documents.flatMap(documentHash)),
    source: 0,
    at,
    next,
    inputBytes: 0,
    textBytes: documents.flat().length,
    numUnknown: 0,
  };
}

/** The rows of a group as plain arrays. */
export function rowsOf({ ids, rows }: Pick<RowGroup, 'ids' | 'rows'>): number[][] {
  const length = ids.length / rows;
  return Array.from({ length: rows }, (_, row) => Array.from(ids.subarray(row * length, (row + 1) * length)));
}
