import { assemble, defineFunction, type I32, type V128 } from '../wasm/assembler.ts';
import { i8x16, i32, i64, i64x2, v128 } from '../wasm/instructions.ts';

/**
 * The loop over the words of a text, in WebAssembly: sixteen bytes are looked at at once, and what a word's bytes lead
 * to lies in one half cache line.
 */

/** Longest word of the table, in bytes: with its length it fills a vector. */
export const MAX_KEY_BYTES = 15;
/** Most ids of a word of the table. */
export const MAX_IDS = 3;
/** Entry: the word's bytes and zeros, its length in the sixteenth byte; three ids; bytes of those that count. */
export const ENTRY_BYTES = 32;

/** Where things lie in the memory, in bytes. */
export const LAYOUT = {
  /** What the scan has come to: address behind the last id. int32 */
  outEnd: 0,
  /** 64 less the logarithm of the number of entries. int32 */
  hashShift: 4,
  /** A byte is no part of a word where `low[byte & 15] & high[byte >> 4]` is not 0. [16] each */
  low: 16,
  high: 32,
  /** 0x20 where words are looked up in lower case, else 0. [16] */
  fold: 48,
  /** Bytes 0xff, then 0: read from 16 - n on, they cover n bytes. [32] */
  masks: 64,
  /** Id of each ASCII character that is a word by itself, -1 for white space. [128] int32 */
  singles: 96,
  /** The table, then the text. */
  entries: 1024,
} as const;

const SPACE = 0x20;
const zero = i32.const(0);

/** The word of `length` bytes that begins with `bytes`, as the table has it. */
function keyOf(bytes: V128, length: I32): V128 {
  // The sum is above the limit for A to Z and nothing else: bytes are compared as signed ones.
  const sum = i8x16.add(bytes, i8x16.splat(i32.const(0x7f - 0x5a)));
  const isUpper = i8x16.gt(sum, i8x16.splat(i32.const(0x7f - 26)));
  const folded = v128.or(bytes, v128.and(isUpper, v128.load(zero, LAYOUT.fold)));
  const mask = v128.load(i32.sub(i32.const(LAYOUT.masks + 16), length));
  return i8x16.withLane(v128.and(folded, mask), MAX_KEY_BYTES, length);
}

/** Offset in the table of the first of two entries that a key may have; the other one is its neighbour in the line. */
function entryOf(key: V128): I32 {
  const hash = i64.add(
    i64.mul(i64x2.lane(key, 0), i64.const(0x9e3779b97f4a7c15n)),
    i64.mul(i64x2.lane(key, 1), i64.const(0xc2b2ae3d27d4eb4fn)),
  );
  const shift = i64.extend(i32.load(zero, LAYOUT.hashShift));
  return i32.mul(i64.wrap(i64.shr(hash, shift)), i32.const(ENTRY_BYTES));
}

const neighbourOf = (entry: I32): I32 => i32.xor(entry, i32.const(ENTRY_BYTES));

/**
 * scanWords(at, end, out): writes the ids of the words and separators from address `at` on to `out`, until a word is not
 * in the table. Returns where that word begins, or an address not below `end` when all is done. Sets `LAYOUT.outEnd`.
 *
 * A step takes a word, which may be empty, the separator behind it and one more space: what comes next is hard to
 * foresee for a processor, so there is no branch for it.
 */
const scanWords = defineFunction('scanWords', ['i32', 'i32', 'i32'], (f, [at, end, out]) => {
  const low = f.let(v128.load(zero, LAYOUT.low));
  const high = f.let(v128.load(zero, LAYOUT.high));
  f.repeatWhile(i32.lt(at, end), () => {
    const bytes = f.let(v128.load(at));
    const nibbles = v128.and(bytes, i8x16.splat(i32.const(0x0f)));
    const separates = v128.and(i8x16.swizzle(low, nibbles), i8x16.swizzle(high, i8x16.shr(bytes, 4)));
    const isWord = i8x16.bitmask(i8x16.eq(separates, v128.const([0, 0, 0, 0])));
    const seen = i32.trailingZeros(i32.xor(isWord, i32.const(-1)));
    const rest = f.let(i32.sub(end, at));
    const length = f.let(seen);
    f.set(length, i32.select(length, rest, i32.lt(length, rest)));

    const key = f.let(keyOf(bytes, length));
    const entry = f.let(entryOf(key));
    const differs = v128.anyTrue(v128.xor(v128.load(entry, LAYOUT.entries), key));
    f.set(entry, i32.xor(entry, i32.mul(differs, i32.const(ENTRY_BYTES))));
    const hasWord = f.let(i32.lt(zero, length));
    f.if(i32.and(differs, hasWord), () => {
      f.emit(i32.store(zero, out, LAYOUT.outEnd));
      f.return(at);
    });
    // Three ids are always written, and one of the separator: the address says how many count.
    f.emit(v128.store(out, v128.load(entry, LAYOUT.entries + 16)));
    f.advance(out, i32.mul(i32.load(entry, LAYOUT.entries + 28), hasWord));
    const hasSeparator = f.let(i32.lt(length, rest));
    const id = f.let(i32.load(i32.shl(i32.load8(i32.add(at, length)), i32.const(2)), LAYOUT.singles));
    f.emit(i32.store(out, id));
    f.advance(out, i32.shl(i32.and(hasSeparator, i32.lt(id, i32.const(1 << 31))), i32.const(2)));
    f.advance(at, i32.add(length, hasSeparator));
    const isSpace = i8x16.bitmask(i8x16.eq(bytes, i8x16.splat(i32.const(SPACE))));
    f.advance(at, i32.and(i32.shr(isSpace, i32.add(length, i32.const(1))), i32.const(1)));
  });
  f.emit(i32.store(zero, out, LAYOUT.outEnd));
  return at;
});

/** rememberWord(at, length, ids, count): the word of at most 15 bytes at `at` has the ids at `ids`, at most 3. */
const rememberWord = defineFunction(
  'rememberWord',
  ['i32', 'i32', 'i32', 'i32'],
  (f, [at, length, ids, count]) => {
    const key = f.let(keyOf(v128.load(at), length));
    const entry = f.let(entryOf(key));
    for (const offset of [LAYOUT.entries, LAYOUT.entries + 16]) {
      f.emit(v128.store(neighbourOf(entry), v128.load(entry, offset), offset));
    }
    f.emit(v128.store(entry, key, LAYOUT.entries));
    f.emit(v128.store(entry, v128.load(ids), LAYOUT.entries + 16));
    f.emit(i32.store(entry, i32.shl(count, i32.const(2)), LAYOUT.entries + 28));
    return undefined;
  },
);

export interface WordScanFunctions {
  readonly scanWords: (at: number, end: number, out: number) => number;
  readonly rememberWord: (at: number, length: number, ids: number, count: number) => void;
}

let compiled: WebAssembly.Module | undefined;

/** The functions, on a memory of the layout above. */
export function wordScanFunctions(memory: WebAssembly.Memory): WordScanFunctions {
  compiled ??= new WebAssembly.Module(assemble([scanWords, rememberWord]));
  return new WebAssembly.Instance(compiled, { env: { memory } }).exports as unknown as WordScanFunctions;
}
