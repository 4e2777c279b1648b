import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { diskError } from './atomic.ts';

/** 32-bit lanes of a hash. */
export const LANES = 4;
const HASH_BYTES = 4 * LANES;
const PAGE_BYTES = 4096;
const HASHES_PER_PAGE = PAGE_BYTES / HASH_BYTES;

/**
 * A hash table with open addressing for hashes themselves: a slot is the hash, an empty one is zero. The one hash
 * that is zero is not for it. Lane 0 chooses the slot.
 */
export class SeenTable {
  readonly #slots: Int32Array<ArrayBuffer>;
  readonly #mask: number;
  #count = 0;

  /** @param numSlots a power of two, at least 256 */
  constructor(numSlots: number) {
    this.#slots = new Int32Array(numSlots * LANES);
    this.#mask = numSlots - 1;
  }

  get numSlots(): number {
    return this.#mask + 1;
  }

  /** Three quarters, above which searches grow long. */
  get isFull(): boolean {
    return this.#count >= this.numSlots * 0.75;
  }

  /** @returns whether the hash was not there before; it is now */
  add(hashes: Int32Array, at: number): boolean {
    const slots = this.#slots;
    const a = hashes[at]!;
    const b = hashes[at + 1]!;
    const c = hashes[at + 2]!;
    const d = hashes[at + 3]!;
    for (let index = a & this.#mask; ; index = (index + 1) & this.#mask) {
      const slot = index * LANES;
      const first = slots[slot]!;
      if (first === a && slots[slot + 1] === b && slots[slot + 2] === c && slots[slot + 3] === d)
        return false;
      if (first === 0 && slots[slot + 1] === 0 && slots[slot + 2] === 0 && slots[slot + 3] === 0) {
        slots[slot] = a;
        slots[slot + 1] = b;
        slots[slot + 2] = c;
        slots[slot + 3] = d;
        this.#count += 1;
        return true;
      }
    }
  }

  /** @param callback takes each hash: the slots, and where it begins in them */
  visit(callback: (slots: Int32Array, at: number) => void): void {
    const slots = this.#slots;
    for (let slot = 0; slot < slots.length; slot += LANES) {
      const isEmpty =
        slots[slot] === 0 && slots[slot + 1] === 0 && slots[slot + 2] === 0 && slots[slot + 3] === 0;
      if (!isEmpty) callback(slots, slot);
    }
  }

  /** Writes the slots as they are to a file. @throws TacoError `disk` */
  spill(path: string): SpilledTable {
    try {
      const handle = openSync(path, 'w+');
      const bytes = new Uint8Array(this.#slots.buffer);
      for (let done = 0; done < bytes.length; ) done += writeSync(handle, bytes, done, bytes.length - done);
      return new SpilledTable(path, handle, this.numSlots);
    } catch (error) {
      throw diskError('write', path, error);
    }
  }
}

/** A `SeenTable` on disk. Looks are synchronous: the file lies in the system's cache as a rule. */
export class SpilledTable {
  readonly #path: string;
  readonly #handle: number;
  readonly #mask: number;
  readonly #page = new Int32Array(PAGE_BYTES / 4);

  constructor(path: string, handle: number, numSlots: number) {
    this.#path = path;
    this.#handle = handle;
    this.#mask = numSlots - 1;
  }

  /** @throws TacoError `disk` */
  has(hashes: Int32Array, at: number): boolean {
    const page = this.#page;
    let index = hashes[at]! & this.#mask;
    this.#readPageOf(index);
    for (;;) {
      const slot = (index % HASHES_PER_PAGE) * LANES;
      let isEqual = true;
      let isEmpty = true;
      for (let lane = 0; lane < LANES; lane += 1) {
        if (page[slot + lane] !== hashes[at + lane]) isEqual = false;
        if (page[slot + lane] !== 0) isEmpty = false;
      }
      if (isEqual) return true;
      if (isEmpty) return false;
      index = (index + 1) & this.#mask;
      if (index % HASHES_PER_PAGE === 0) this.#readPageOf(index);
    }
  }

  /** Closes and removes the file. */
  remove(): void {
    closeSync(this.#handle);
    rmSync(this.#path, { force: true });
  }

  #readPageOf(index: number): void {
    try {
      const position = Math.floor(index / HASHES_PER_PAGE) * PAGE_BYTES;
      const bytesRead = readSync(this.#handle, this.#page, 0, PAGE_BYTES, position);
      if (bytesRead !== PAGE_BYTES)
        throw new Error(`${bytesRead} bytes at ${position}, expected ${PAGE_BYTES}`);
    } catch (error) {
      throw diskError('read', this.#path, error);
    }
  }
}

/**
 * Blocked Bloom filter (Putze, Sanders, Singler 2007): all bits of a hash lie in one block of 512, so a look costs
 * one cache miss. Says "perhaps" for everything that was added.
 */
export class SeenFilter {
  readonly #words: Int32Array;
  readonly #mask: number;

  /** @param numBlocks a power of two; 512 bits each */
  constructor(numBlocks: number) {
    this.#words = new Int32Array(numBlocks * WORDS_PER_BLOCK);
    this.#mask = numBlocks - 1;
  }

  add(hashes: Int32Array, at: number): void {
    const block = (hashes[at + 1]! & this.#mask) * WORDS_PER_BLOCK;
    for (let bits = hashes[at + 2]!, n = 0; n < BITS_PER_HASH; n += 1) {
      this.#words[block + (bits & 15)]! |= 1 << ((bits >>> 4) & 31);
      bits = n === 2 ? hashes[at + 3]! : bits >>> 9;
    }
  }

  mayHave(hashes: Int32Array, at: number): boolean {
    const block = (hashes[at + 1]! & this.#mask) * WORDS_PER_BLOCK;
    for (let bits = hashes[at + 2]!, n = 0; n < BITS_PER_HASH; n += 1) {
      if ((this.#words[block + (bits & 15)]! & (1 << ((bits >>> 4) & 31))) === 0) return false;
      bits = n === 2 ? hashes[at + 3]! : bits >>> 9;
    }
    return true;
  }
}

const WORDS_PER_BLOCK = 16;
/** Three of nine bits from each of the lanes 2 and 3. */
const BITS_PER_HASH = 6;
