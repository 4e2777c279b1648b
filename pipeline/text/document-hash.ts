/** 32-bit lanes of a hash. */
export const HASH_LANES = 4;

/**
 * Hashes of documents.
 * @param text their bytes, one after another
 * @param ends [num documents] exclusive end of each in `text`
 * @param out [4 * num documents] receives the lanes of each
 */
export function hashDocuments(text: Uint8Array, ends: Uint32Array, out: Uint32Array): void {
  const view = new DataView(text.buffer, text.byteOffset, text.length);
  let start = 0;
  for (let index = 0; index < ends.length; index += 1) {
    hashDocument(view, start, ends[index]!, out, HASH_LANES * index);
    start = ends[index]!;
  }
}

/**
 * 128-bit hash of bytes: MurmurHash3_x86_128 (Austin Appleby, public domain), seed 0. It depends on the bytes alone,
 * so a document is on the same side of the validation split in every run.
 *
 * @param view of the text; little-endian reads, so all platforms agree
 * @param start of the document in `view`
 * @param end exclusive
 * @param out receives the four lanes, the lowest first, from `index` on
 */
export function hashDocument(
  view: DataView,
  start: number,
  end: number,
  out: Uint32Array,
  index: number,
): void {
  const length = end - start;
  const blocksEnd = start + (length & ~15);
  let h1 = 0;
  let h2 = 0;
  let h3 = 0;
  let h4 = 0;
  for (let at = start; at < blocksEnd; at += 16) {
    h1 ^= Math.imul(rotl(Math.imul(view.getInt32(at, true), C1), 15), C2);
    h1 = (Math.imul((rotl(h1, 19) + h2) | 0, 5) + 0x561ccd1b) | 0;
    h2 ^= Math.imul(rotl(Math.imul(view.getInt32(at + 4, true), C2), 16), C3);
    h2 = (Math.imul((rotl(h2, 17) + h3) | 0, 5) + 0x0bcaa747) | 0;
    h3 ^= Math.imul(rotl(Math.imul(view.getInt32(at + 8, true), C3), 17), C4);
    h3 = (Math.imul((rotl(h3, 15) + h4) | 0, 5) + 0x96cd1c35) | 0;
    h4 ^= Math.imul(rotl(Math.imul(view.getInt32(at + 12, true), C4), 18), C1);
    h4 = (Math.imul((rotl(h4, 13) + h1) | 0, 5) + 0x32ac3b17) | 0;
  }
  const rest = end - blocksEnd;
  if (rest > 12) h4 ^= Math.imul(rotl(Math.imul(partialWord(view, blocksEnd + 12, rest - 12), C4), 18), C1);
  if (rest > 8) h3 ^= Math.imul(rotl(Math.imul(partialWord(view, blocksEnd + 8, rest - 8), C3), 17), C4);
  if (rest > 4) h2 ^= Math.imul(rotl(Math.imul(partialWord(view, blocksEnd + 4, rest - 4), C2), 16), C3);
  if (rest > 0) h1 ^= Math.imul(rotl(Math.imul(partialWord(view, blocksEnd, rest), C1), 15), C2);

  h1 ^= length;
  h2 ^= length;
  h3 ^= length;
  h4 ^= length;
  h1 = (h1 + h2 + h3 + h4) | 0;
  h2 = (h2 + h1) | 0;
  h3 = (h3 + h1) | 0;
  h4 = (h4 + h1) | 0;
  h1 = finalMix(h1);
  h2 = finalMix(h2);
  h3 = finalMix(h3);
  h4 = finalMix(h4);
  h1 = (h1 + h2 + h3 + h4) | 0;
  h2 = (h2 + h1) | 0;
  out[index] = h1;
  out[index + 1] = h2;
  out[index + 2] = (h3 + h1) | 0;
  out[index + 3] = (h4 + h1) | 0;
}

const C1 = 0x239b961b;
const C2 = 0xab0e9789 | 0;
const C3 = 0x38b34ae5;
const C4 = 0xa1e38b93 | 0;

function rotl(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function finalMix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** Up to four bytes, little-endian, missing ones as zero. */
function partialWord(view: DataView, at: number, length: number): number {
  let word = 0;
  for (let index = 0; index < Math.min(length, 4); index += 1)
    word |= view.getUint8(at + index) << (8 * index);
  return word;
}
