/** Longest word that is kept, in bytes; longer ones hardly ever come again. */
const MAX_KEY_BYTES = 64;
/** Int32 numbers of one entry: hash, length in bytes | number of ids << 8, offset of the key, offset of the ids. */
const STRIDE = 4;

export const NOT_CACHED = -1;

/**
 * Remembers the ids of words by their bytes, exactly and in bounded memory: a table with shared stores for keys and ids
 * that starts anew when it is full.
 */
export class LongWordCache {
  readonly #table: Int32Array;
  readonly #mask: number;
  readonly #limit: number;
  readonly #keys: Int32Array;
  readonly #ids: Int32Array;
  #numEntries = 0;
  #keysEnd = 0;
  #idsEnd = 0;
  /** Hash of the word of the last look-up. */
  #hash = 0;

  /** @param numEntries a power of two, half of which are used */
  constructor(numEntries: number) {
    this.#table = new Int32Array(numEntries * STRIDE);
    this.#mask = numEntries - 1;
    this.#limit = numEntries / 2;
    this.#keys = new Int32Array(numEntries * 4);
    this.#ids = new Int32Array(numEntries * 4);
  }

  /**
   * Writes the ids of the word at `start` to `out` from index `count` on.
   * @param view of the text; three bytes behind the word can be read
   * @returns the new number of ids in `out`, or `NOT_CACHED`
   */
  lookup(view: DataView, start: number, length: number, out: Int32Array, count: number): number {
    if (length > MAX_KEY_BYTES) return NOT_CACHED;
    this.#hash = hashOf(view, start, length);
    const table = this.#table;
    const slot = this.#slotOf(view, start, length);
    const meta = table[slot + 1]!;
    const numIds = meta >> 8;
    if (meta === 0) return NOT_CACHED;
    const offset = table[slot + 3]!;
    for (let at = 0; at < numIds; at += 1) out[count + at] = this.#ids[offset + at]!;
    return count + numIds;
  }

  /** Remembers that the word of the last look-up, which was in vain, has the ids `ids[from]` to `ids[to - 1]`. */
  insert(view: DataView, start: number, length: number, ids: Int32Array, from: number, to: number): void {
    const numIds = to - from;
    if (length > MAX_KEY_BYTES) return;
    const isFull =
      this.#numEntries >= this.#limit ||
      this.#keysEnd + MAX_KEY_BYTES / 4 > this.#keys.length ||
      this.#idsEnd + numIds > this.#ids.length;
    if (isFull) {
      this.#table.fill(0);
      this.#numEntries = 0;
      this.#keysEnd = 0;
      this.#idsEnd = 0;
      if (numIds > this.#ids.length) return;
    }
    const slot = this.#slotOf(view, start, length);
    this.#table[slot] = this.#hash;
    this.#table[slot + 1] = length | (numIds << 8);
    this.#table[slot + 2] = this.#keysEnd;
    this.#table[slot + 3] = this.#idsEnd;
    for (let at = 0; at < length; at += 4) {
      this.#keys[this.#keysEnd] = wordAt(view, start + at, length - at);
      this.#keysEnd += 1;
    }
    for (let at = from; at < to; at += 1) {
      this.#ids[this.#idsEnd] = ids[at]!;
      this.#idsEnd += 1;
    }
    this.#numEntries += 1;
  }

  /** Where the entry lies, or the empty one where it would. */
  #slotOf(view: DataView, start: number, length: number): number {
    const hash = this.#hash;
    const table = this.#table;
    let index = hash & this.#mask;
    for (;;) {
      const slot = index * STRIDE;
      const meta = table[slot + 1]!;
      if (meta === 0) return slot;
      if (
        table[slot] === hash &&
        (meta & 0xff) === length &&
        this.#hasKey(table[slot + 2]!, view, start, length)
      ) {
        return slot;
      }
      index = (index + 1) & this.#mask;
    }
  }

  #hasKey(offset: number, view: DataView, start: number, length: number): boolean {
    for (let at = 0; at < length; at += 4) {
      if (this.#keys[offset + (at >> 2)] !== wordAt(view, start + at, length - at)) return false;
    }
    return true;
  }
}

/** Four bytes, little-endian, of which only the first `length` count. */
function wordAt(view: DataView, at: number, length: number): number {
  const word = view.getInt32(at, true);
  return length < 4 ? word & ((1 << (length << 3)) - 1) : word;
}

function hashOf(view: DataView, start: number, length: number): number {
  let hash = length;
  for (let at = 0; at < length; at += 4) {
    hash = Math.imul(hash ^ wordAt(view, start + at, length - at), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  return hash;
}
