import type { SpecialTokenIds } from '../types.ts';
import type { DatasetSettings } from './manifest.ts';

/** A run of ids of one document within a row. */
export interface RowSegment {
  /** Ids [start, end) of the row. */
  readonly start: number;
  readonly end: number;
  /** The document began in an earlier row. */
  readonly beganBefore: boolean;
  /** The document goes on in the next row. */
  readonly goesOn: boolean;
}

/**
 * The documents in a row, without its padding, as the rows themselves show them: a [CLS] begins one, and where the
 * row has no [CLS] in front or no [SEP] at its end, a document crosses its border. Rows of single documents
 * (`documents`) do not show whether a long one goes on.
 * @param ids one row
 */
export function segmentsOf(
  ids: ArrayLike<number>,
  { pad, cls, sep }: SpecialTokenIds,
  packing: DatasetSettings['packing'],
): readonly RowSegment[] {
  let length = ids.length;
  while (length > 0 && ids[length - 1] === pad) length -= 1;
  if (length === 0) return [];
  const starts = [0];
  if (packing === 'concat') {
    for (let i = 1; i < length; i += 1) if (ids[i] === cls) starts.push(i);
  }
  return starts.map((start, index) => {
    const end = starts[index + 1] ?? length;
    const crosses = packing === 'concat' && end === ids.length && ids[end - 1] !== sep;
    return { start, end, beganBefore: start === 0 && ids[0] !== cls, goesOn: crosses };
  });
}
