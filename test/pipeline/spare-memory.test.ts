import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { alignedWith, ownMemory, SpareMemory } from '../../pipeline/spare-memory.ts';

describe('spare memory', () => {
  it('is large enough, in one hand at a time, and bounded', () => {
    const steps = fc.array(fc.record({ isTaken: fc.boolean(), size: fc.integer({ min: 0, max: 300_000 }) }));
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 4 }), (list, maxSpares) => {
        const spares = new SpareMemory(ownMemory, maxSpares);
        const out: ArrayBuffer[] = [];
        for (const { isTaken, size } of list) {
          if (isTaken) {
            const memory = spares.takeBytes(size);
            expect(memory.byteLength).toBeGreaterThanOrEqual(size);
            expect(out).not.toContain(memory);
            out.push(memory);
          } else if (out.length > 0) spares.give(out.shift()!);
        }
        let numKept = 0;
        while (spares.take() !== undefined) numKept += 1;
        expect(numKept).toBeLessThanOrEqual(maxSpares);
      }),
    );
  });

  it('comes back for what is of about the same size', () => {
    const spares = new SpareMemory(ownMemory, 2);
    const memory = spares.takeBytes(100_000);
    spares.give(memory);
    expect(spares.takeBytes(110_000)).toBe(memory);
  });
});

describe('a place that lies alike', () => {
  it('is the first one behind', () => {
    for (let other = 0; other < 24; other += 1) {
      for (let place = 0; place < 24; place += 1) {
        const aligned = alignedWith(other, place);
        expect(aligned % 8).toBe(other % 8);
        expect(aligned).toBeGreaterThanOrEqual(place);
        expect(aligned).toBeLessThan(place + 8);
      }
    }
  });
});
