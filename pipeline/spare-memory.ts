const LEAST_BYTES = 65_536;
/** Larger memory is neither rounded up nor kept: it is rare. */
const MOST_BYTES = 8 * 1024 * 1024;

/**
 * Memory that nobody reads any more, kept for what is made next. Fresh memory for everything that is read and that
 * travels between threads keeps the garbage collectors of all of them busy, and the system, which has to clear it first.
 */
export class SpareMemory {
  readonly #spares: ArrayBuffer[] = [];
  readonly #maxSpares: number;

  /** @param maxSpares most that is kept: more than is under way at a time would lie idle */
  constructor(maxSpares: number) {
    this.#maxSpares = maxSpares;
  }

  /** Takes memory that the caller gives up. */
  give(memory: ArrayBuffer): void {
    if (memory.byteLength <= MOST_BYTES) this.#spares.push(memory);
    if (this.#spares.length > this.#maxSpares) this.#spares.shift();
  }

  /** Memory of any size, if there is some. What is in it is left as it is. */
  take(): ArrayBuffer | undefined {
    return this.#spares.pop();
  }

  /** Memory of at least so many bytes. What is in it is left as it is. */
  takeBytes(numBytes: number): ArrayBuffer {
    const suitable = this.#spares.findLastIndex((spare) => spare.byteLength >= numBytes);
    return suitable === -1 ? largeEnough(undefined, numBytes) : this.#spares.splice(suitable, 1)[0]!;
  }
}

/**
 * Things of a kind are of about the same size: memory of a power of two for one suits the next.
 * @returns `spare` if it has so many bytes, else fresh memory
 */
export function largeEnough(spare: ArrayBuffer | undefined, numBytes: number): ArrayBuffer {
  if (spare !== undefined && spare.byteLength >= numBytes) return spare;
  const rounded = 2 ** Math.ceil(Math.log2(Math.max(LEAST_BYTES, numBytes)));
  return new ArrayBuffer(rounded <= MOST_BYTES ? rounded : numBytes);
}
