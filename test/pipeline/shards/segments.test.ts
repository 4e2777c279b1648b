import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Packer } from '../../../pipeline/pack.ts';
import { segmentsOf } from '../../../pipeline/shards/segments.ts';
import { chunkOf, rowsOf } from '../../support/documents.ts';

const special = { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 };

/** Every row that the packer makes of documents, padded at the end. */
function packed(documents: readonly (readonly number[])[], packing: 'concat' | 'documents'): number[][] {
  const options = {
    maxSeqLen: 6,
    packing,
    rowsPerGroup: 2,
    specialTokenIds: special,
  };
  const packer = new Packer(options);
  const groups = [...packer.pack(chunkOf(documents))];
  const rest = packer.finish('train', 'pad').group;
  return [...groups, ...(rest === undefined ? [] : [rest])].flatMap(rowsOf);
}

const documents = fc.array(fc.array(fc.integer({ min: 10, max: 99 }), { minLength: 1, maxLength: 20 }), {
  minLength: 1,
  maxLength: 12,
});

describe('segmentsOf', () => {
  it('finds the documents in concatenated rows, whole again when crossing segments are joined', () => {
    fc.assert(
      fc.property(documents, (texts) => {
        const found: number[][] = [];
        let isOpen = false;
        for (const row of packed(texts, 'concat')) {
          for (const { start, end, beganBefore, goesOn } of segmentsOf(row, special, 'concat')) {
            expect(beganBefore).toBe(isOpen);
            if (beganBefore) found.at(-1)!.push(...row.slice(start, end));
            else found.push(row.slice(start, end));
            isOpen = goesOn;
          }
        }
        expect(isOpen).toBe(false);
        expect(found).toEqual(texts.map((ids) => [special.cls, ...ids, special.sep]));
      }),
    );
  });

  it('takes a row of a single document as one segment, without its padding', () => {
    fc.assert(
      fc.property(documents, (texts) => {
        const rows = packed(texts, 'documents');
        const inner = rows.flatMap((row) => {
          const segments = segmentsOf(row, special, 'documents');
          expect(segments).toHaveLength(1);
          const [{ start, end, beganBefore, goesOn }] = segments as [(typeof segments)[number]];
          expect({ start, beganBefore, goesOn }).toEqual({ start: 0, beganBefore: false, goesOn: false });
          expect([row[0], row[end - 1]]).toEqual([special.cls, special.sep]);
          return row.slice(1, end - 1);
        });
        expect(inner).toEqual(texts.flat());
      }),
    );
  });

  it('finds none in padding alone', () => {
    expect(segmentsOf([0, 0, 0], special, 'concat')).toEqual([]);
  });
});
