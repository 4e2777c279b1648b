import {
  assemble,
  defineFunction,
  type FunctionBuilder,
  type I32,
  type Local,
  type V128,
} from '../wasm/assembler.ts';
import { i16x8, i32, i32x4, v128 } from '../wasm/instructions.ts';

/*
 * Parquet's DELTA_BINARY_PACKED for 32-bit numbers (Parquet format, Encodings.md): the first value, then blocks of
 * 128 differences, each block as its least difference and four runs of 32 bit-packed rests. Ids below 2^15 take two
 * bytes each, which needs no codec behind it. Encoded in WebAssembly, four numbers at a time.
 */
const BLOCK_VALUES = 128;
const NUM_MINIBLOCKS = 4;
const MINIBLOCK_VALUES = BLOCK_VALUES / NUM_MINIBLOCKS;
/** Varints of the block's size and number of parts. */
const HEADER = [(BLOCK_VALUES & 0x7f) | 0x80, BLOCK_VALUES >> 7, NUM_MINIBLOCKS];

const VALUE_BYTES = 4;
const VECTOR_BYTES = 16;
const MEMORY_PAGE_BYTES = 65_536;
/** The most bytes of the varint of a value. */
const MAX_VARINT_BYTES = 5;

const n = i32.const;

/** The differences of the values behind an address to the values at it. */
function deltasAt(address: I32, offset = 0): V128 {
  return i32x4.sub(v128.load(address, offset + VALUE_BYTES), v128.load(address, offset));
}

/** Combines the lanes of a vector; all of them are the result. */
function acrossLanes(f: FunctionBuilder, value: V128, combine: (a: V128, b: V128) => V128): V128 {
  const halves = f.let(value);
  const pairs = f.let(combine(halves, v128.shuffle(halves, halves, [2, 3, 0, 1])));
  return f.let(combine(pairs, v128.shuffle(pairs, pairs, [1, 0, 3, 2])));
}

/**
 * encodeBlocks(at, end, out): writes the blocks of the differences of the values [at, end) to those in front of them, the
 * first value of which is at `at`. Returns the address behind the last byte.
 */
const encodeBlocks = defineFunction('encodeBlocks', ['i32', 'i32', 'i32'], (f, [at, end, out]) => {
  f.while(at, end, BLOCK_VALUES * VALUE_BYTES, () => {
    const blockEnd = f.let(i32.add(at, n(BLOCK_VALUES * VALUE_BYTES)));
    const least = leastOf(f, at, blockEnd);
    writeLeast(f, i32x4.lane(least, 0), out);
    const width = f.let(out);
    f.advance(out, n(NUM_MINIBLOCKS));
    const part = f.let(at);
    f.while(part, blockEnd, MINIBLOCK_VALUES * VALUE_BYTES, () => {
      writePart(f, { part, least, width, out });
      f.advance(width, n(1));
    });
  });
  return out;
});

function leastOf(f: FunctionBuilder, start: I32, end: I32): V128 {
  const least = f.let(deltasAt(start));
  const at = f.let(start);
  f.while(at, end, VECTOR_BYTES, () => {
    f.set(least, i32x4.min(least, deltasAt(at)));
  });
  return acrossLanes(f, least, i32x4.min);
}

/** As a zigzag varint. */
function writeLeast(f: FunctionBuilder, least: I32, out: Local<'i32'>): void {
  const rest = f.let(i32.xor(i32.shl(least, n(1)), i32.sub(n(0), i32.shr(least, n(31)))));
  f.repeatWhile(i32.lt(n(0x7f), rest), () => {
    f.emit(i32.store8(out, i32.or(rest, n(0x80))));
    f.advance(out, n(1));
    f.set(rest, i32.shr(rest, n(7)));
  });
  f.emit(i32.store8(out, rest));
  f.advance(out, n(1));
}

interface PartPlace {
  readonly part: Local<'i32'>;
  /** Of the block, in all lanes. */
  readonly least: V128;
  /** Where the width goes. */
  readonly width: Local<'i32'>;
  /** Where the bits go. */
  readonly out: Local<'i32'>;
}

/** Writes how far the differences of a part are above the least, with as many bits as the greatest needs. */
function writePart(f: FunctionBuilder, { part, least, width, out }: PartPlace): void {
  const rests = Array.from(
    { length: (MINIBLOCK_VALUES * VALUE_BYTES) / VECTOR_BYTES },
    (_, index): V128 => f.let(i32x4.sub(deltasAt(part, index * VECTOR_BYTES), least)),
  );
  const all = rests.reduce((sum, rest) => v128.or(sum, rest));
  const bits = i32x4.lane(acrossLanes(f, all, v128.or), 0);
  const numBits = f.let(i32.sub(n(32), i32.leadingZeros(bits)));
  f.emit(i32.store8(width, numBits));
  f.if(
    i32.eq(numBits, n(16)),
    () => {
      // The rule for ids of BERT's vocabulary.
      for (let index = 0; index < rests.length; index += 2) {
        const offset = (index / 2) * VECTOR_BYTES;
        f.emit(v128.store(out, i16x8.narrow(rests[index]!, rests[index + 1]!), offset));
      }
      f.advance(out, n(2 * MINIBLOCK_VALUES));
    },
    () => {
      packBits(f, { part, least: i32x4.lane(least, 0), numBits, out });
    },
  );
}

interface PartBits extends Pick<PartPlace, 'part' | 'out'> {
  readonly least: I32;
  readonly numBits: I32;
}

/** One number after another, the first in the lowest bits. */
function packBits(f: FunctionBuilder, { part, least, numBits, out }: PartBits): void {
  const word = f.let(n(0));
  const filled = f.let(n(0));
  const at = f.let(part);
  const end = f.let(i32.add(part, n(MINIBLOCK_VALUES * VALUE_BYTES)));
  f.while(at, end, VALUE_BYTES, () => {
    const rest = f.let(i32.sub(i32.sub(i32.load(at, VALUE_BYTES), i32.load(at)), least));
    f.set(word, i32.or(word, i32.shl(rest, filled)));
    f.advance(filled, numBits);
    f.if(i32.lt(n(31), filled), () => {
      f.emit(i32.store(out, word));
      f.advance(out, n(VALUE_BYTES));
      f.set(filled, i32.sub(filled, n(32)));
      // A shift by 32 would be one by 0.
      f.set(word, i32.select(i32.shr(rest, i32.sub(numBits, filled)), n(0), filled));
    });
  });
}

interface DeltaFunctions {
  readonly encodeBlocks: (at: number, end: number, out: number) => number;
}

const memory = new WebAssembly.Memory({ initial: 1 });
let functions: DeltaFunctions | undefined;

/**
 * Encodes the values.
 * @returns a view of memory that is kept, valid until the next call
 */
export function encodeDelta(values: Int32Array): Uint8Array<ArrayBuffer> {
  if (functions === undefined) {
    const module = new WebAssembly.Module(assemble([encodeBlocks]));
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    functions = exports as unknown as DeltaFunctions;
  }
  const numBlocks = Math.max(0, Math.ceil((values.length - 1) / BLOCK_VALUES));
  const numValues = 1 + numBlocks * BLOCK_VALUES;
  const blockBytes = MAX_VARINT_BYTES + NUM_MINIBLOCKS + BLOCK_VALUES * VALUE_BYTES;
  const out = numValues * VALUE_BYTES;
  const outBytes = HEADER.length + 2 * MAX_VARINT_BYTES + numBlocks * blockBytes;
  const missing = Math.ceil((out + outBytes - memory.buffer.byteLength) / MEMORY_PAGE_BYTES);
  if (missing > 0) memory.grow(missing);
  const copy = new Int32Array(memory.buffer, 0, numValues);
  copy.set(values);
  if (numBlocks > 0) fillLastBlock(copy, values.length);
  const bytes = new Uint8Array(memory.buffer, out, outBytes);
  bytes.set(HEADER);
  let at = writeVarint(bytes, HEADER.length, values.length);
  at = writeVarint(bytes, at, zigZag(values[0] ?? 0));
  const end = functions.encodeBlocks(0, numBlocks * BLOCK_VALUES * VALUE_BYTES, out + at);
  return bytes.subarray(0, end - out);
}

/** Goes on by the least difference of the last block, which is nothing but zeros then, and leaves empty parts empty. */
function fillLastBlock(values: Int32Array, numValues: number): void {
  const first = values.length - BLOCK_VALUES;
  let least = 0x7fffffff;
  for (let i = first; i < numValues; i += 1) least = Math.min(least, (values[i]! - values[i - 1]!) | 0);
  for (let i = numValues; i < values.length; i += 1) values[i] = values[i - 1]! + least;
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

function zigZag(value: number): number {
  return (value << 1) ^ (value >> 31);
}
