import { ownMemory, SpareMemory } from '../spare-memory.ts';
import type { ByteRange } from './parquet-plan.ts';

/** A stretch of a file. */
export interface Segment {
  readonly range: ByteRange;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Stretches of a file that arrive in order, without a gap inside of what is asked for; read once, from front to back. */
export class SequentialBytes {
  readonly #segments: AsyncIterator<Segment>;
  readonly #recycle: (bytes: Segment['bytes']) => void;
  /** What has arrived and is not let go, in order. */
  readonly #held: Segment[] = [];
  /** Copies of what lies across stretches, that are not let go, in order. */
  readonly #joined: Segment[] = [];
  readonly #spares = new SpareMemory(ownMemory, 2);

  /** @param recycle takes the bytes of stretches that are let go */
  constructor(segments: AsyncIterator<Segment>, recycle: (bytes: Segment['bytes']) => void) {
    this.#segments = segments;
    this.#recycle = recycle;
  }

  /** Bytes [start, end), valid until what lies behind `start` is let go; `start` never goes back. */
  async take(start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    await this.#hold(start, end);
    const first = this.#held.findIndex(({ range }) => start < range.endByte);
    const { range, bytes } = this.#held[first]!;
    if (end <= range.endByte) return bytes.subarray(start - range.startByte, end - range.startByte);
    const whole = new Uint8Array(this.#spares.takeBytes(end - start), 0, end - start);
    let at = start;
    for (const segment of this.#held.slice(first)) {
      const { startByte } = segment.range;
      const part = segment.bytes.subarray(at - startByte, end - startByte);
      whole.set(part, at - start);
      at += part.length;
    }
    this.#joined.push({ range: { startByte: start, endByte: end }, bytes: whole });
    return whole;
  }

  /** Bytes [start, end) as they come, not joined; each is let go when the next is asked for. */
  async *pieces(start: number, end: number): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    for (let at = start; at < end; ) {
      await this.#hold(at, at + 1);
      const { range, bytes } = this.#held.find(({ range: { endByte } }) => at < endByte)!;
      const piece = bytes.subarray(at - range.startByte, end - range.startByte);
      yield piece;
      at += piece.length;
      this.letGo(at);
    }
  }

  /** Gives up what lies in front of a byte. */
  letGo(before: number): void {
    while (this.#held.length > 0 && this.#held[0]!.range.endByte <= before) {
      this.#recycle(this.#held.shift()!.bytes);
    }
    while (this.#joined.length > 0 && this.#joined[0]!.range.endByte <= before) {
      this.#spares.give(this.#joined.shift()!.bytes.buffer);
    }
  }

  /** Waits until [start, end) is there. */
  async #hold(start: number, end: number): Promise<void> {
    while ((this.#held.at(-1)?.range.endByte ?? 0) < end) {
      const segment = await this.#segments.next();
      if (segment.done === true)
        throw new RangeError(`bytes ${start} to ${end} lie outside of what was planned`);
      if (segment.value.range.endByte <= start) this.#recycle(segment.value.bytes);
      else this.#held.push(segment.value);
    }
  }
}
