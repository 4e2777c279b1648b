import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cursorAt, parseBatchCursor, positionOf } from '../../pipeline/cursor.ts';

const expected = { folder: 'cache/datasets/a', fingerprint: 'aaaa', seed: 42 };

describe('batch cursors', () => {
  it('come back from JSON as they were, at a constant size', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (position, seed) => {
        const text = JSON.stringify(cursorAt(position, 'aaaa', seed));
        const cursor = parseBatchCursor(JSON.parse(text));
        expect(cursor).toEqual({ version: 1, dataset: 'aaaa', seed, position });
        expect(positionOf(cursor, { ...expected, seed })).toBe(position);
        expect(text.length).toBeLessThan(120);
      }),
    );
  });

  it('begin at 0 where there is none', () => {
    expect(positionOf(undefined, expected)).toBe(0);
  });

  it.each([
    ['dataset', { dataset: 'bbbb' }, [/dataset bbbb/, /holds dataset aaaa/, /cache\/datasets\/a/]],
    ['seed', { seed: 7 }, [/seed 7/, /seed 42/]],
    ['version', { version: 2 }, [/version 2/, /version 1/]],
  ])('of another %s are refused, both values named', (_name, change, patterns) => {
    const cursor = { ...cursorAt(5, 'aaaa', 42), ...change } as ReturnType<typeof cursorAt>;
    for (const pattern of patterns) expect(() => positionOf(cursor, expected)).toThrow(pattern);
    expect(() => positionOf(cursor, expected)).toThrow(
      expect.objectContaining({ code: 'mismatch' }) as Error,
    );
  });

  it.each([
    [null],
    ['text'],
    [{}],
    [{ version: 1, dataset: 'a', seed: 1 }],
    [{ version: 1, dataset: 'a', seed: 1, position: -1 }],
    [{ version: 1, dataset: 'a', seed: 1, position: 1.5 }],
    [{ version: 1, dataset: 'a', seed: 1, position: 1, more: 1 }],
  ])('that are none are refused: %j', (value) => {
    expect(() => parseBatchCursor(value)).toThrow(expect.objectContaining({ code: 'corrupt' }) as Error);
  });
});
