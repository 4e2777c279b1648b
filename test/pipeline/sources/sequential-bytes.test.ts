import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Segment, SequentialBytes } from '../../../pipeline/sources/sequential-bytes.ts';

const SIZE = 400;
const FILE = Uint8Array.from({ length: SIZE }, (_, at) => (at * 7 + (at >> 3)) % 251);
const SPOILED = 0xff;

/** The file in stretches that end at `cuts`; what is let go is spoiled. */
function sequential(cuts: readonly number[]): { bytes: SequentialBytes; numRecycled: () => number } {
  const borders = [...new Set([0, ...cuts, SIZE])].sort((a, b) => a - b);
  let numRecycled = 0;
  async function* segments(): AsyncGenerator<Segment> {
    for (const [index, endByte] of borders.entries()) {
      const startByte = borders[index - 1];
      if (startByte === undefined) continue;
      await Promise.resolve();
      yield { range: { startByte, endByte }, bytes: FILE.slice(startByte, endByte) };
    }
  }
  const bytes = new SequentialBytes(segments(), (given) => {
    numRecycled += 1;
    given.fill(SPOILED);
  });
  return { bytes, numRecycled: () => numRecycled };
}

const cutsOf = fc.array(fc.integer({ min: 1, max: SIZE - 1 }), { maxLength: 20 });
/** Ascending places: what is taken reaches from one to a later one. */
const placesOf = fc
  .uniqueArray(fc.integer({ min: 0, max: SIZE }), { minLength: 2, maxLength: 25 })
  .map((places) => places.sort((a, b) => a - b));

test('views hold what the file holds until they are let go, wherever the stretches end', async () => {
  await fc.assert(
    fc.asyncProperty(cutsOf, placesOf, fc.integer({ min: 1, max: 6 }), async (cuts, places, numKept) => {
      const { bytes } = sequential(cuts);
      let kept: { start: number; view: Uint8Array }[] = [];
      for (const [index, start] of places.slice(0, -1).entries()) {
        const end = places[index + 1]!;
        // A beginning first, as a page's header is read before the page.
        await bytes.take(start, Math.min(end, start + 3));
        kept.push({ start, view: await bytes.take(start, end) });
        for (const { start: at, view } of kept) {
          expect(view).toEqual(FILE.subarray(at, at + view.length));
        }
        if (kept.length < numKept) continue;
        kept = [];
        bytes.letGo(end);
      }
    }),
  );
});

test('pieces are all of it, in order, and let go one by one', async () => {
  await fc.assert(
    fc.asyncProperty(cutsOf, fc.tuple(fc.nat(SIZE - 1), fc.nat(SIZE)), async (cuts, [from, length]) => {
      const end = Math.min(SIZE, from + length);
      const { bytes } = sequential(cuts);
      const seen: number[] = [];
      for await (const piece of bytes.pieces(from, end)) seen.push(...piece);
      expect(seen).toEqual([...FILE.subarray(from, end)]);
    }),
  );
  const { bytes, numRecycled } = sequential([100, 200, 300]);
  let numPieces = 0;
  for await (const piece of bytes.pieces(0, SIZE)) {
    expect(numRecycled()).toBe(numPieces);
    expect(piece.length).toBe(100);
    numPieces += 1;
  }
  expect(numRecycled()).toBe(4);
});

test('stretches in front of what is asked for are given back at once', async () => {
  const { bytes, numRecycled } = sequential([100, 200, 300]);
  expect(await bytes.take(250, 260)).toEqual(FILE.subarray(250, 260));
  expect(numRecycled()).toBe(2);
  bytes.letGo(299);
  expect(numRecycled()).toBe(2);
  bytes.letGo(300);
  expect(numRecycled()).toBe(3);
});

test('what was not planned cannot be taken', async () => {
  const { bytes } = sequential([]);
  await expect(bytes.take(SIZE - 1, SIZE + 1)).rejects.toThrow(
    `bytes ${SIZE - 1} to ${SIZE + 1} lie outside of what was planned`,
  );
});
