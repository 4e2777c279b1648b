/** How far back a copy may reach. Compressors look for repetitions in blocks of 64 KiB; the format sets no bound. */
const WINDOW_BYTES = 1 << 20;
/** What is given on at a time. */
const BLOCK_BYTES = 1 << 20;
/** Of a copy. */
const MAX_COPY_BYTES = 64;

/**
 * Decompresses Snappy piece by piece in constant memory, where other decoders hold the whole of both sides.
 * @throws Error of `push` and `end`, when the bytes are no Snappy or reach back further than 1 MiB
 */
export class SnappyStream {
  readonly #window = new Uint8Array(WINDOW_BYTES + BLOCK_BYTES + MAX_COPY_BYTES);
  /** Length of the whole output; undefined until its bytes are there. */
  #expected: number | undefined;
  #numOut = 0;
  /** End of what lies in the window, and of what was given on of it. */
  #end = 0;
  #given = 0;
  /** Bytes of a literal that are still to come. */
  #literal = 0;
  /** An element's beginning, up to 4 bytes. */
  #rest = new Uint8Array(0);

  /** Takes the next bytes. Yields views, valid until the next is asked for. */
  *push(piece: Uint8Array): Generator<Uint8Array> {
    const input = this.#rest.length === 0 ? piece : joined(this.#rest, piece);
    let at = this.#expected === undefined ? this.#readLength(input) : 0;
    while (this.#expected !== undefined) {
      const next = this.#decode(input, at);
      if (this.#end > this.#given) yield this.#give();
      this.#makeRoom();
      if (next === at) break;
      at = next;
    }
    this.#rest = input.slice(at);
  }

  /** @throws Error when the output is not whole */
  end(): void {
    if (this.#rest.length > 0 || this.#literal > 0 || this.#numOut !== this.#expected) {
      throw new Error(`it holds ${this.#numOut} of ${this.#expected ?? 'unknown'} bytes`);
    }
  }

  /** @returns place behind the length in front, or 0 when it is not whole */
  #readLength(input: Uint8Array): number {
    let length = 0;
    for (let at = 0; at < input.length; at += 1) {
      const byte = input[at]!;
      length += (byte & 0x7f) * 2 ** (7 * at);
      if (byte < 0x80) {
        this.#expected = length;
        return at + 1;
      }
      if (at === 4) throw new Error('invalid snappy length');
    }
    return 0;
  }

  /** Decodes until the window is full or an element's bytes are not all there. @returns place in the input */
  #decode(input: Uint8Array, from: number): number {
    const window = this.#window;
    const limit = window.length - MAX_COPY_BYTES;
    let end = this.#end;
    let at = from;
    while (at < input.length && end <= limit) {
      if (this.#literal > 0) {
        const count = Math.min(this.#literal, input.length - at, window.length - end);
        window.set(input.subarray(at, at + count), end);
        at += count;
        end += count;
        this.#literal -= count;
        continue;
      }
      const tag = input[at]!;
      const kind = tag & 3;
      const numBytes = kind === 0 ? Math.max(0, (tag >>> 2) - 59) : kind === 3 ? 4 : kind;
      if (at + numBytes >= input.length) break;
      if (kind === 0) {
        this.#literal = (numBytes === 0 ? tag >>> 2 : numberAt(input, at + 1, numBytes)) + 1;
        at += 1 + numBytes;
        // Short ones are the rule: a loop is faster than a view.
        if (this.#literal > 32 || at + this.#literal > input.length) continue;
        for (const stop = at + this.#literal; at < stop; at += 1, end += 1) window[end] = input[at]!;
        this.#literal = 0;
        continue;
      }
      const length = kind === 1 ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1;
      const offset =
        kind === 1
          ? ((tag >>> 5) << 8) | input[at + 1]!
          : kind === 2
            ? input[at + 1]! | (input[at + 2]! << 8)
            : numberAt(input, at + 1, 4);
      at += 1 + numBytes;
      if (offset === 0 || offset > end) throw this.#unreachable(offset, end);
      const copyEnd = end + length;
      for (; end < copyEnd; end += 1) window[end] = window[end - offset]!;
    }
    this.#end = end;
    return at;
  }

  #unreachable(offset: number, end: number): Error {
    const numOut = this.#numOut + end - this.#given;
    return new Error(
      offset === 0 || offset > numOut
        ? `invalid snappy offset ${offset}`
        : `a snappy copy reaches ${offset} bytes back, expected at most ${WINDOW_BYTES}`,
    );
  }

  /** @returns what is new */
  #give(): Uint8Array {
    const block = this.#window.subarray(this.#given, this.#end);
    this.#numOut += block.length;
    if (this.#numOut > this.#expected!) throw new Error(`it holds more than ${this.#expected!} bytes`);
    this.#given = this.#end;
    return block;
  }

  /** Keeps as much as copies may reach back to. */
  #makeRoom(): void {
    if (this.#end + MAX_COPY_BYTES <= this.#window.length) return;
    this.#window.copyWithin(0, this.#end - WINDOW_BYTES, this.#end);
    this.#end = WINDOW_BYTES;
    this.#given = WINDOW_BYTES;
  }
}

/** Little-endian. */
function numberAt(input: Uint8Array, at: number, numBytes: number): number {
  let number = 0;
  for (let index = numBytes - 1; index >= 0; index -= 1) number = number * 256 + input[at + index]!;
  return number;
}

function joined(head: Uint8Array, tail: Uint8Array): Uint8Array {
  const both = new Uint8Array(head.length + tail.length);
  both.set(head);
  both.set(tail, head.length);
  return both;
}
