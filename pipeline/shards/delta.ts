/**
 * Parquet's DELTA_BINARY_PACKED for 32-bit numbers (Parquet format, Encodings.md): the first value, then blocks of
 * 128 differences, each block as its least difference and four runs of 32 bit-packed rests. Ids below 2^15 take two
 * bytes each, which needs no codec behind it.
 */
const BLOCK_VALUES = 128;
const NUM_MINIBLOCKS = 4;
const MINIBLOCK_VALUES = BLOCK_VALUES / NUM_MINIBLOCKS;
/** Varints of the block's size and number of parts. */
const HEADER = [(BLOCK_VALUES & 0x7f) | 0x80, BLOCK_VALUES >> 7, NUM_MINIBLOCKS];

/** The most bytes that `encodeDelta` writes: every part at full width. */
export function deltaBound(numValues: number): number {
  const numBlocks = Math.ceil(numValues / BLOCK_VALUES);
  return HEADER.length + 10 + numBlocks * (5 + NUM_MINIBLOCKS + 4 * BLOCK_VALUES);
}

/**
 * Encodes the values.
 * @param out receives them; at least `deltaBound(values.length)` bytes
 * @returns the part of `out` that holds them
 */
export function encodeDelta(values: Int32Array, out: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const rests = new Uint32Array(BLOCK_VALUES);
  out.set(HEADER);
  let at = writeVarint(out, HEADER.length, values.length);
  at = writeZigZag(out, at, values[0] ?? 0);
  for (let start = 1; start < values.length; start += BLOCK_VALUES) {
    const count = Math.min(BLOCK_VALUES, values.length - start);
    let least = 0x7fffffff;
    for (let i = 0; i < count; i += 1) {
      const delta = (values[start + i]! - values[start + i - 1]!) | 0;
      rests[i] = delta;
      if (delta < least) least = delta;
    }
    for (let i = 0; i < count; i += 1) rests[i] = (rests[i]! - least) | 0;
    rests.fill(0, count);
    at = writeZigZag(out, at, least);
    const widths = at;
    at += NUM_MINIBLOCKS;
    // Parts without a value have width 0 and no bytes.
    out.fill(0, widths, at);
    for (let part = 0; part < NUM_MINIBLOCKS; part += 1) {
      const first = part * MINIBLOCK_VALUES;
      if (first >= count) break;
      const width = widthOf(rests, first);
      out[widths + part] = width;
      at = packBits(rests, first, width, out, at);
    }
  }
  return out.subarray(0, at);
}

function widthOf(rests: Uint32Array, first: number): number {
  let bits = 0;
  for (let i = first; i < first + MINIBLOCK_VALUES; i += 1) bits |= rests[i]!;
  return 32 - Math.clz32(bits);
}

/** Writes 32 numbers of `width` bits, the first in the lowest bits. @returns where the next byte goes */
function packBits(rests: Uint32Array, first: number, width: number, out: Uint8Array, start: number): number {
  let at = start;
  if (width === 16) {
    // The rule for ids of BERT's vocabulary.
    for (let i = first; i < first + MINIBLOCK_VALUES; i += 1) {
      const rest = rests[i]!;
      out[at] = rest;
      out[at + 1] = rest >>> 8;
      at += 2;
    }
    return at;
  }
  let word = 0;
  let filled = 0;
  for (let i = first; i < first + MINIBLOCK_VALUES; i += 1) {
    const rest = rests[i]!;
    word |= rest << filled;
    for (let left = width; left > 0; ) {
      const taken = Math.min(left, 32 - filled);
      left -= taken;
      filled += taken;
      if (filled < 32) break;
      out[at] = word;
      out[at + 1] = word >>> 8;
      out[at + 2] = word >>> 16;
      out[at + 3] = word >>> 24;
      at += 4;
      filled = 0;
      // A shift by 32 would be one by 0.
      word = left === 0 ? 0 : rest >>> (width - left);
    }
  }
  return at;
}

/**
 * Decodes what `encodeDelta`, or another writer, wrote.
 * @throws Error when the bytes end early or hold another number of values
 */
export function decodeDelta(bytes: Uint8Array, numValues: number): Int32Array<ArrayBuffer> {
  const reader = new DeltaReader(bytes);
  const blockValues = reader.varint();
  const numParts = reader.varint();
  const count = reader.varint();
  const partValues = blockValues / numParts;
  if (!(blockValues > 0 && blockValues % 128 === 0 && partValues % 32 === 0)) {
    throw new Error(`blocks of ${blockValues} values in ${numParts} parts`);
  }
  if (count !== numValues) throw new Error(`${count} values, expected ${numValues}`);
  const values = new Int32Array(numValues);
  let value = reader.zigZag();
  if (numValues > 0) values[0] = value;
  for (let at = 1; at < numValues; ) {
    const least = reader.zigZag();
    const widths = reader.take(numParts);
    for (let part = 0; part < numParts && at < numValues; part += 1) {
      const width = widths[part]!;
      if (width > 32) throw new Error(`a width of ${width} bits`);
      const packed = reader.take((width * partValues) / 8);
      const end = Math.min(numValues, at + partValues);
      if (width === 16) {
        for (let byte = 0; at < end; at += 1, byte += 2) {
          value = (value + least + (packed[byte]! | (packed[byte + 1]! << 8))) | 0;
          values[at] = value;
        }
      } else {
        for (let bit = 0; at < end; at += 1, bit += width) {
          value = (value + least + bitsAt(packed, bit, width)) | 0;
          values[at] = value;
        }
      }
    }
  }
  if (!reader.isAtEnd) throw new Error('bytes behind the last value');
  return values;
}

function bitsAt(bytes: Uint8Array, bit: number, width: number): number {
  let value = 0;
  for (let done = 0; done < width; ) {
    const at = bit + done;
    const within = at & 7;
    const taken = Math.min(8 - within, width - done);
    value |= ((bytes[at >>> 3]! >>> within) & ((1 << taken) - 1)) << done;
    done += taken;
  }
  return value;
}

class DeltaReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  take(count: number): Uint8Array {
    const part = this.#bytes.subarray(this.#at, this.#at + count);
    if (part.length !== count) throw new Error('its values end early');
    this.#at += count;
    return part;
  }

  /** Unsigned LEB128, below 2^32. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) throw new Error('its values end early');
      this.#at += 1;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new Error('a number of more than 32 bits');
  }

  zigZag(): number {
    const value = this.varint();
    return (value >>> 1) ^ -(value & 1);
  }
}

function writeVarint(out: Uint8Array, start: number, value: number): number {
  let at = start;
  let rest = value >>> 0;
  for (; rest > 0x7f; rest >>>= 7) {
    out[at] = (rest & 0x7f) | 0x80;
    at += 1;
  }
  out[at] = rest;
  return at + 1;
}

function writeZigZag(out: Uint8Array, start: number, value: number): number {
  return writeVarint(out, start, (value << 1) ^ (value >> 31));
}
