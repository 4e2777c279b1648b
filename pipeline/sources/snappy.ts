import { alignedWith } from '../spare-memory.ts';
import { assemble, defineFunction, type FunctionBuilder, type I32, type Local } from '../wasm/assembler.ts';
import { i32, v128 } from '../wasm/instructions.ts';

/*
 * Snappy's raw format (format_description.txt of google/snappy) in WebAssembly: bytes are copied sixteen at a time, and
 * the memory is kept from page to page.
 */

const VECTOR_BYTES = 16;
/** So much may be read and written behind an end. In front of everything, so that no address is 0. */
const PADDING = 2 * VECTOR_BYTES;
const PAGE_BYTES = 65_536;

type Int = Local<'i32'>;

const n = i32.const;
/** What `decompress` returns for damaged input. */
const DAMAGED = n(0);

function isNotBelow(a: I32, b: I32): I32 {
  return i32.eq(i32.lt(a, b), n(0));
}

function refuse(f: FunctionBuilder, isWrong: I32): void {
  f.if(isWrong, () => {
    f.return(DAMAGED);
  });
}

/** Copies `length` bytes and writes up to 15 more. */
function copyVectors(f: FunctionBuilder, from: I32, to: I32, length: I32): void {
  const at = f.let(n(0));
  f.while(at, length, VECTOR_BYTES, () => {
    f.emit(v128.store(i32.add(to, at), v128.load(i32.add(from, at))));
  });
}

/** Bytes of the input itself; `at` is behind their tag. */
function literal(f: FunctionBuilder, tag: Int, at: Int, end: Int, out: Int, outEnd: Int): void {
  const lengthLessOne = f.let(i32.shr(tag, n(2)));
  f.if(i32.lt(n(59), lengthLessOne), () => {
    // It stands in the one to four bytes behind.
    const numBytes = f.let(i32.sub(lengthLessOne, n(59)));
    const mask = i32.shr(n(-1), i32.sub(n(32), i32.shl(numBytes, n(3))));
    f.set(lengthLessOne, i32.and(i32.load(at), mask));
    f.advance(at, numBytes);
    refuse(f, i32.lt(end, at));
  });
  refuse(f, isNotBelow(lengthLessOne, i32.sub(end, at)));
  refuse(f, isNotBelow(lengthLessOne, i32.sub(outEnd, out)));
  const length = f.let(i32.add(lengthLessOne, n(1)));
  copyVectors(f, at, out, length);
  f.advance(at, length);
  f.advance(out, length);
}

/** Bytes that were written before; `at` is behind their tag. */
function copy(f: FunctionBuilder, tag: Int, at: Int, end: Int, start: Int, out: Int, outEnd: Int): void {
  const kind = f.let(i32.and(tag, n(3)));
  const word = f.let(i32.load(at));
  const length = f.let(i32.add(i32.shr(tag, n(2)), n(1)));
  const offset = f.let(word);
  f.if(
    i32.eq(kind, n(1)),
    () => {
      f.set(length, i32.add(i32.and(i32.shr(tag, n(2)), n(7)), n(4)));
      f.set(offset, i32.or(i32.shl(i32.shr(tag, n(5)), n(8)), i32.and(word, n(0xff))));
      f.advance(at, n(1));
    },
    () => {
      f.if(
        i32.eq(kind, n(2)),
        () => {
          f.set(offset, i32.and(word, n(0xffff)));
          f.advance(at, n(2));
        },
        () => {
          f.advance(at, n(4));
        },
      );
    },
  );
  refuse(f, i32.lt(end, at));
  // An offset of 0 becomes the largest number.
  refuse(f, isNotBelow(i32.sub(offset, n(1)), i32.sub(out, start)));
  refuse(f, i32.lt(i32.sub(outEnd, out), length));
  const from = f.let(i32.sub(out, offset));
  f.if(
    i32.lt(offset, n(VECTOR_BYTES)),
    () => {
      // The bytes repeat themselves: one may be written by the step before.
      const done = f.let(n(0));
      f.while(done, length, 1, () => {
        f.emit(i32.store8(i32.add(out, done), i32.load8(i32.add(from, done))));
      });
    },
    () => {
      copyVectors(f, from, out, length);
    },
  );
  f.advance(out, length);
}

/** decompress(at, end, out, outEnd): decompresses [at, end) to `out`. Returns the address behind the last byte, or 0. */
const decompress = defineFunction('decompress', ['i32', 'i32', 'i32', 'i32'], (f, [at, end, out, outEnd]) => {
  const start = f.let(out);
  f.repeatWhile(i32.lt(at, end), () => {
    const tag = f.let(i32.load8(at));
    f.advance(at, n(1));
    f.if(
      i32.and(tag, n(3)),
      () => {
        copy(f, tag, at, end, start, out, outEnd);
      },
      () => {
        literal(f, tag, at, end, out, outEnd);
      },
    );
  });
  return out;
});

interface SnappyFunctions {
  readonly decompress: (at: number, end: number, out: number, outEnd: number) => number;
}

let compiled: WebAssembly.Module | undefined;

/** Decompresses Snappy's raw format in memory that it keeps. */
export class SnappyDecompressor {
  readonly #memory = new WebAssembly.Memory({ initial: 1 });
  readonly #functions: SnappyFunctions;

  constructor() {
    compiled ??= new WebAssembly.Module(assemble([decompress]));
    const { exports } = new WebAssembly.Instance(compiled, { env: { memory: this.#memory } });
    this.#functions = exports as unknown as SnappyFunctions;
  }

  /**
   * @param length of the result
   * @returns a view, valid until the next call
   * @throws Error when the input is damaged or its result is of another length
   */
  decompress(input: Uint8Array, length: number): Uint8Array {
    const { value, numBytes } = lengthIn(input);
    if (value !== length) throw new Error(`its Snappy data claims ${value} bytes, expected ${length}`);
    const inputStart = alignedWith(input.byteOffset, PADDING);
    const inputEnd = inputStart + input.length;
    const out = inputEnd + PADDING;
    const missing = Math.ceil((out + length + PADDING - this.#memory.buffer.byteLength) / PAGE_BYTES);
    if (missing > 0) this.#memory.grow(missing);
    new Uint8Array(this.#memory.buffer).set(input, inputStart);
    const end = this.#functions.decompress(inputStart + numBytes, inputEnd, out, out + length);
    if (end !== out + length) throw new Error('its Snappy data is damaged');
    return new Uint8Array(this.#memory.buffer, out, length);
  }
}

/** The length of the result, LEB128, which the input begins with. */
function lengthIn(input: Uint8Array): { value: number; numBytes: number } {
  let value = 0;
  for (let index = 0; index < Math.min(5, input.length); index += 1) {
    const byte = input[index]!;
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return { value, numBytes: index + 1 };
  }
  throw new Error('its Snappy data has no length');
}
