import {
  ENTRY_BYTES,
  LAYOUT,
  MAX_IDS,
  MAX_KEY_BYTES,
  type WordScanFunctions,
  wordScanFunctions,
} from './word-scan.ts';

/** Bytes that are read beyond the text, and numbers that are written beyond the ids. */
const PADDING = 16;
const PAGE_BYTES = 65_536;

export interface WordScannerOptions {
  /** Words remembered, a power of two. */
  readonly numEntries: number;
  /** Whether words that differ in the case of ASCII letters have the same ids. */
  readonly foldsCase: boolean;
  /** ASCII characters that no word contains, each with its id, or -1 for those that have none. */
  readonly separators: ReadonlyMap<number, number>;
}

/**
 * Holds a text and its ids, and goes over the words of the text that it remembers. Words of up to 15 bytes and 3 ids,
 * the rule in English, lie in a two-way table in which a new word replaces the older of two.
 */
export class WordScanner {
  readonly #memory: WebAssembly.Memory;
  readonly #functions: WordScanFunctions;
  readonly #textAddress: number;
  #outAddress = 0;
  #header = new Uint32Array();
  #text = new Uint8Array();
  #view = new DataView(new ArrayBuffer(0));
  #out = new Int32Array();

  constructor({ numEntries, foldsCase, separators }: WordScannerOptions) {
    this.#textAddress = LAYOUT.entries + numEntries * ENTRY_BYTES;
    this.#memory = new WebAssembly.Memory({ initial: Math.ceil(this.#textAddress / PAGE_BYTES) });
    this.#functions = wordScanFunctions(this.#memory);
    const bytes = new Uint8Array(this.#memory.buffer);
    const singles = new Int32Array(this.#memory.buffer, LAYOUT.singles, 128);
    for (const [byte, id] of separators) {
      bytes[LAYOUT.low + (byte & 15)]! |= 1 << (byte >> 4);
      singles[byte] = id;
    }
    for (let nibble = 0; nibble < 8; nibble += 1) bytes[LAYOUT.high + nibble] = 1 << nibble;
    bytes.fill(foldsCase ? 0x20 : 0, LAYOUT.fold, LAYOUT.fold + 16);
    bytes.fill(0xff, LAYOUT.masks, LAYOUT.masks + 16);
    new Int32Array(this.#memory.buffer)[LAYOUT.hashShift / 4] = 64 - Math.log2(numEntries);
    this.reserve(0);
  }

  /** The text, and room behind it. Another array after `reserve`. */
  get text(): Uint8Array {
    return this.#text;
  }

  /** The same as `text`. */
  get view(): DataView {
    return this.#view;
  }

  /** Ids of the text so far, and room for one a byte. Another array after `reserve`. */
  get ids(): Int32Array {
    return this.#out;
  }

  /** Makes room for a text of so many bytes. The one before is lost. */
  reserve(numBytes: number): void {
    const capacity = Math.ceil((numBytes + PADDING) / PAGE_BYTES) * PAGE_BYTES;
    if (this.#text.length >= capacity) return;
    this.#outAddress = this.#textAddress + capacity;
    const end = this.#outAddress + 4 * (capacity + PADDING);
    const missing = Math.ceil((end - this.#memory.buffer.byteLength) / PAGE_BYTES);
    if (missing > 0) this.#memory.grow(missing);
    const { buffer } = this.#memory;
    this.#header = new Uint32Array(buffer, 0, LAYOUT.low / 4);
    this.#text = new Uint8Array(buffer, this.#textAddress, capacity);
    this.#view = new DataView(buffer, this.#textAddress, capacity);
    this.#out = new Int32Array(buffer, this.#outAddress, capacity + PADDING);
  }

  /** Number of ids after the last `scan`. */
  get count(): number {
    return (this.#header[LAYOUT.outEnd / 4]! - this.#outAddress) / 4;
  }

  /**
   * Writes the ids of words and separators from index `count` on, until a word is not remembered.
   * @returns where that word begins, or a place not before `end`
   */
  scan(start: number, end: number, count: number): number {
    const base = this.#textAddress;
    // Addresses come back as signed numbers.
    return (this.#functions.scanWords(base + start, base + end, this.#outAddress + 4 * count) >>> 0) - base;
  }

  /** Remembers the ids of a word, unless it is too long or they are too many: then returns false. */
  remember(start: number, length: number, from: number, to: number): boolean {
    const numIds = to - from;
    if (length > MAX_KEY_BYTES || numIds > MAX_IDS) return false;
    this.#functions.rememberWord(this.#textAddress + start, length, this.#outAddress + 4 * from, numIds);
    return true;
  }
}
