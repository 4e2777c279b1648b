import type { ByteRange } from './parquet-plan.ts';

/** A stretch of a file. */
export interface Segment {
  readonly range: ByteRange;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Contiguous stretches of a file that arrive in order; what lies behind the reader is let go. */
export class SequentialBytes {
  readonly #segments: AsyncIterator<Segment>;
  #start = 0;
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0);

  constructor(segments: AsyncIterator<Segment>) {
    this.#segments = segments;
  }

  /** Bytes [start, end), a view that stays valid; `start` never goes back. */
  async take(start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#start + this.#bytes.length < end) await this.#fill(start, end);
    return this.#bytes.subarray(start - this.#start, end - this.#start);
  }

  /** Joins segments, in one copy, until they hold [start, end). */
  async #fill(start: number, end: number): Promise<void> {
    const parts = [this.#bytes.subarray(Math.max(0, start - this.#start))];
    let length = parts[0]!.length;
    let joinedStart = this.#start + this.#bytes.length - length;
    while (joinedStart + length < end) {
      const segment = await this.#segments.next();
      if (segment.done === true)
        throw new RangeError(`bytes ${start} to ${end} lie outside of what was planned`);
      const { range, bytes } = segment.value;
      if (length === 0) joinedStart = range.startByte;
      parts.push(bytes);
      length += bytes.length;
    }
    this.#start = joinedStart;
    const filled = parts.filter((part) => part.length > 0);
    this.#bytes = filled.length === 1 ? filled[0]! : joined(filled, length);
  }
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
