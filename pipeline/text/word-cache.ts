/** Longest key and most ids of an entry in the table for short words. */
const SHORT_KEY_BYTES = 16;
const SHORT_IDS = 3;
/** Int32 numbers of one such entry: 16 bytes of key, length | number of ids << 8, the ids. One half cache line. */
const SHORT_STRIDE = 8;

/** Longest key of an entry in the table for long words; anything longer is not worth remembering. */
const LONG_KEY_BYTES = 96;
/** Int32 numbers of one such entry: hash, offset of the key, length | number of ids << 8, offset of the ids. */
const LONG_STRIDE = 4;

export const NOT_CACHED = -1;
/** How many bytes behind a key must be readable. */
export const CACHE_PADDING_BYTES = SHORT_KEY_BYTES;

export interface WordCacheOptions {
  /** Entries for short words, a power of two. Default 65,536 (2 MiB). */
  readonly shortEntries?: number;
  /** Entries for long words, a power of two. Default 16,384 (2 MiB with keys and ids). */
  readonly longEntries?: number;
}

/**
 * Remembers the ids of words by their bytes, exactly and in bounded memory. Words of up to 16 bytes and 3 ids, the
 * rule in English, lie whole in one entry of a two-way table in which a new word replaces the older of two; others
 * in a table with shared stores for keys and ids that starts anew when it is full.
 */
export class WordCache {
  readonly #short: Int32Array;
  readonly #shortMask: number;
  readonly #long: Int32Array;
  readonly #longMask: number;
  readonly #longLimit: number;
  readonly #keys: Uint8Array;
  readonly #ids: Int32Array;
  #numLong = 0;
  #keysEnd = 0;
  #idsEnd = 0;

  constructor({ shortEntries = 65_536, longEntries = 16_384 }: WordCacheOptions = {}) {
    this.#short = new Int32Array(shortEntries * SHORT_STRIDE);
    this.#shortMask = shortEntries - 1;
    this.#long = new Int32Array(longEntries * LONG_STRIDE);
    this.#longMask = longEntries - 1;
    this.#longLimit = longEntries / 2;
    this.#keys = new Uint8Array(longEntries * 24);
    this.#ids = new Int32Array(longEntries * 12);
  }

  /**
   * Writes the ids of the word at `start` to `out` from index `count` on, where at least 3 are free.
   * @returns the new number of ids in `out`, or `NOT_CACHED`
   */
  lookup(view: DataView, start: number, length: number, out: Int32Array, count: number): number {
    if (length > SHORT_KEY_BYTES) return this.#lookupLong(view, start, length, out, count);
    let a = view.getInt32(start, true);
    let b = 0;
    let c = 0;
    let d = 0;
    // Bytes behind the word are masked out of the last of its little-endian numbers.
    if (length < 4) {
      a &= (1 << (length << 3)) - 1;
    } else if (length > 4) {
      b = view.getInt32(start + 4, true);
      if (length < 8) {
        b &= (1 << ((length - 4) << 3)) - 1;
      } else if (length > 8) {
        c = view.getInt32(start + 8, true);
        if (length < 12) {
          c &= (1 << ((length - 8) << 3)) - 1;
        } else if (length > 12) {
          d = view.getInt32(start + 12, true);
          if (length < 16) d &= (1 << ((length - 12) << 3)) - 1;
        }
      }
    }
    const table = this.#short;
    let slot = (hashOf(a, b, c, d) & this.#shortMask) * SHORT_STRIDE;
    if (
      table[slot] !== a ||
      table[slot + 1] !== b ||
      table[slot + 2] !== c ||
      table[slot + 3] !== d ||
      (table[slot + 4]! & 0xff) !== length
    ) {
      slot ^= SHORT_STRIDE;
      if (
        table[slot] !== a ||
        table[slot + 1] !== b ||
        table[slot + 2] !== c ||
        table[slot + 3] !== d ||
        (table[slot + 4]! & 0xff) !== length
      ) {
        // Rare words of many ids are kept with the long ones.
        return this.#lookupLong(view, start, length, out, count);
      }
    }
    // Three are always written: a branch would cost more than the stores.
    out[count] = table[slot + 5]!;
    out[count + 1] = table[slot + 6]!;
    out[count + 2] = table[slot + 7]!;
    return count + (table[slot + 4]! >> 8);
  }

  /** Remembers that the word at `start` has the ids `ids[from]` to `ids[to - 1]`. */
  insert(view: DataView, start: number, length: number, ids: Int32Array, from: number, to: number): void {
    const numIds = to - from;
    if (length > SHORT_KEY_BYTES || numIds > SHORT_IDS) {
      this.#insertLong(view, start, length, ids, from, to);
      return;
    }
    const a = partOf(view, start, length);
    const b = partOf(view, start + 4, length - 4);
    const c = partOf(view, start + 8, length - 8);
    const d = partOf(view, start + 12, length - 12);
    const table = this.#short;
    const slot = (hashOf(a, b, c, d) & this.#shortMask) * SHORT_STRIDE;
    if (table[slot + 4] !== 0) table.copyWithin(slot ^ SHORT_STRIDE, slot, slot + SHORT_STRIDE);
    table[slot] = a;
    table[slot + 1] = b;
    table[slot + 2] = c;
    table[slot + 3] = d;
    table[slot + 4] = length | (numIds << 8);
    for (let at = 0; at < SHORT_IDS; at += 1) table[slot + 5 + at] = at < numIds ? ids[from + at]! : 0;
  }

  #lookupLong(view: DataView, start: number, length: number, out: Int32Array, count: number): number {
    if (length > LONG_KEY_BYTES || this.#numLong === 0) return NOT_CACHED;
    const slot = this.#longSlotOf(view, start, length);
    const meta = this.#long[slot + 2]!;
    if (meta === 0) return NOT_CACHED;
    const numIds = meta >> 8;
    const offset = this.#long[slot + 3]!;
    for (let at = 0; at < numIds; at += 1) out[count + at] = this.#ids[offset + at]!;
    return count + numIds;
  }

  #insertLong(
    view: DataView,
    start: number,
    length: number,
    ids: Int32Array,
    from: number,
    to: number,
  ): void {
    if (length > LONG_KEY_BYTES) return;
    const isFull =
      this.#numLong >= this.#longLimit ||
      this.#keysEnd + length > this.#keys.length ||
      this.#idsEnd + to - from > this.#ids.length;
    if (isFull) {
      this.#long.fill(0);
      this.#numLong = 0;
      this.#keysEnd = 0;
      this.#idsEnd = 0;
    }
    const slot = this.#longSlotOf(view, start, length);
    this.#long.set(
      [longHashOf(view, start, length), this.#keysEnd, length | ((to - from) << 8), this.#idsEnd],
      slot,
    );
    for (let at = 0; at < length; at += 1) this.#keys[this.#keysEnd + at] = view.getUint8(start + at);
    this.#ids.set(ids.subarray(from, to), this.#idsEnd);
    this.#numLong += 1;
    this.#keysEnd += length;
    this.#idsEnd += to - from;
  }

  /** Where the entry lies, or the empty one where it would. */
  #longSlotOf(view: DataView, start: number, length: number): number {
    const hash = longHashOf(view, start, length);
    const table = this.#long;
    let index = hash & this.#longMask;
    for (;;) {
      const slot = index * LONG_STRIDE;
      const meta = table[slot + 2]!;
      if (meta === 0) return slot;
      if (
        table[slot] === hash &&
        (meta & 0xff) === length &&
        this.#hasKey(table[slot + 1]!, view, start, length)
      ) {
        return slot;
      }
      index = (index + 1) & this.#longMask;
    }
  }

  #hasKey(offset: number, view: DataView, start: number, length: number): boolean {
    for (let at = 0; at < length; at += 1) {
      if (this.#keys[offset + at] !== view.getUint8(start + at)) return false;
    }
    return true;
  }
}

/** Up to four bytes of a key, the rest zero. */
function partOf(view: DataView, at: number, length: number): number {
  if (length <= 0) return 0;
  const part = view.getInt32(at, true);
  return length < 4 ? part & ((1 << (length << 3)) - 1) : part;
}

function hashOf(a: number, b: number, c: number, d: number): number {
  let hash = a ^ Math.imul(b, 0x9e3779b1) ^ Math.imul(c, 0x85ebca6b) ^ Math.imul(d, 0xc2b2ae35);
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  return hash ^ (hash >>> 15);
}

function longHashOf(view: DataView, start: number, length: number): number {
  let hash = length;
  for (let at = 0; at < length; at += 1) hash = Math.imul(hash ^ view.getUint8(start + at), 0x01000193);
  return hash ^ (hash >>> 15);
}
