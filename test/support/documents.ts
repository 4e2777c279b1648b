import type { RowGroup } from '../../pipeline/pack.ts';
import { keyOf } from '../../pipeline/random.ts';
import type { InputCursor, TokenChunk } from '../../pipeline/types.ts';
import { validationRule, type ValidationSettings } from '../../pipeline/validation.ts';

/** A tokenized document of a test. */
export type TestDocument = readonly number[];

/** A stand-in for the hash of a document's bytes, four words of 32 bits: a function of its content. */
export function documentHash(ids: TestDocument): readonly [number, number, number, number] {
  return [keyOf(2, ...ids), keyOf(1, ...ids), keyOf(3, ...ids), keyOf(4, ...ids)];
}

const nowhere: InputCursor = { sources: [], deliveredBytes: [] };

export interface TestChunkOptions extends Partial<ValidationSettings> {
  /** Whether the chunk brings hashes, by which duplicates are told. Default false. */
  readonly hasHashes?: boolean;
  readonly at?: InputCursor;
  readonly next?: InputCursor;
}

/** [CLS] is 2 and [SEP] is 3. */
export function framed(ids: TestDocument): TestDocument {
  return ids.length === 0 ? [] : [2, ...ids, 3];
}

/** Documents as the tokenizer would deliver them. */
export function chunkOf(
  documents: readonly TestDocument[],
  { hasHashes = false, at = nowhere, next = nowhere, validation = 0, seed = 0 }: TestChunkOptions = {},
): TokenChunk {
  let end = 0;
  const isValidation = validationRule({ validation, seed });
  return {
    ids: Int32Array.from(documents.flatMap(framed)),
    ends: Uint32Array.from(documents, (ids) => {
      end += framed(ids).length;
      return end;
    }),
    validation: Uint32Array.from(
      documents.flatMap((ids, place) => {
        const [low, high] = documentHash(ids);
        return isValidation(low, high) ? [place] : [];
      }),
    ),
    hashes: hasHashes ? Uint32Array.from(documents.flatMap(documentHash)) : undefined,
    firstDocument: 0,
    isLast: true,
    source: 0,
    at,
    next,
    inputBytes: 0,
    textBytes: documents.flat().length,
    numCharacters: documents.flat().length,
    numTokens: documents.flat().length,
    numUnknown: 0,
  };
}

/** The rows of a group as plain arrays. */
export function rowsOf({ ids, rows }: Pick<RowGroup, 'ids' | 'rows'>): number[][] {
  const length = ids.length / rows;
  return Array.from({ length: rows }, (_, row) => Array.from(ids.subarray(row * length, (row + 1) * length)));
}
