import { describe, expect, it } from 'vitest';
import { encodeListPages } from '../../../pipeline/shards/page.ts';
import { randomGroup } from '../../support/shards.ts';

describe('pages of several groups', () => {
  // Of small ids a page takes less than of large ones: memory for as many as the first is not enough.
  const groups = [3, 30_000, 300, 30_000, 2].map((vocabSize, index) =>
    randomGroup(128 - index, 256, index, vocabSize),
  );
  const alone = groups.map((group) => Buffer.from(encodeListPages([group]).bytes));
  const numBytes = alone.reduce((sum, { length }) => sum + length, 0);

  it.each([
    ['without memory', undefined],
    ['with too little of it', new ArrayBuffer(numBytes - 1)],
    ['with enough of it', new ArrayBuffer(numBytes)],
  ])('are those of each, one after another, %s', (_, spare) => {
    if (spare !== undefined) new Uint8Array(spare).fill(255);
    const { bytes, ends } = encodeListPages(groups, spare);
    const pages = ends.map((end, index) => Buffer.from(bytes.slice(ends[index - 1] ?? 0, end)));
    expect(pages).toEqual(alone);
    expect(bytes.length).toBe(numBytes);
    expect(bytes.buffer === spare).toBe(spare?.byteLength === numBytes);
  });
});
