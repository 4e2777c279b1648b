const LEAST_BYTES = 65_536;
/** Larger memory is neither rounded up, kept nor shared: it is rare. */
const MOST_BYTES = 8 * 1024 * 1024;

/** Makes memory of so many bytes. */
export type MakeMemory<M extends ArrayBufferLike> = (numBytes: number) => M;

/**
 * Memory that several threads see. It lies outside of what the garbage collectors count: they take memory that comes and
 * goes between threads for growth, and run for nothing.
 */
export const sharedMemory: MakeMemory<SharedArrayBuffer> = (numBytes) => new SharedArrayBuffer(numBytes);

/** Memory of one thread at a time. */
export const ownMemory: MakeMemory<ArrayBuffer> = (numBytes) => new ArrayBuffer(numBytes);

/**
 * Memory that nobody reads any more, kept for what is made next. Fresh memory for everything that is read and that
 * travels between threads keeps the garbage collectors of all of them busy, and the system, which has to clear it first.
 */
export class SpareMemory<M extends ArrayBufferLike> {
  readonly #make: MakeMemory<M>;
  readonly #maxSpares: number;
  readonly #spares: M[] = [];

  /** @param maxSpares most that is kept: more than is under way at a time would lie idle */
  constructor(make: MakeMemory<M>, maxSpares: number) {
    this.#make = make;
    this.#maxSpares = maxSpares;
  }

  /** Takes memory that the caller gives up. */
  give(memory: M): void {
    if (memory.byteLength <= MOST_BYTES) this.#spares.push(memory);
    if (this.#spares.length > this.#maxSpares) this.#spares.shift();
  }

  /** Memory of any size, if there is some. What is in it is left as it is. */
  take(): M | undefined {
    return this.#spares.pop();
  }

  /** Memory of at least so many bytes. What is in it is left as it is. */
  takeBytes(numBytes: number): M {
    const suitable = this.#spares.findLastIndex((spare) => spare.byteLength >= numBytes);
    return largeEnough(
      suitable === -1 ? undefined : this.#spares.splice(suitable, 1)[0],
      numBytes,
      this.#make,
    );
  }
}

/**
 * Things of a kind are of about the same size: memory of a power of two for one suits the next.
 * @returns `spare` if it has so many bytes, else fresh memory
 */
function largeEnough<M extends ArrayBufferLike>(
  spare: M | undefined,
  numBytes: number,
  make: MakeMemory<M>,
): M {
  if (spare !== undefined && spare.byteLength >= numBytes) return spare;
  const rounded = 2 ** Math.ceil(Math.log2(Math.max(LEAST_BYTES, numBytes)));
  return make(rounded <= MOST_BYTES ? rounded : numBytes);
}

/** V8 copies to and from shared memory words of so many bytes, but bytes where the two ends lie differently to them. */
const WORD_BYTES = 8;

/** The first place at or behind `place` that lies to words as `other` does: between the two, copies are ten times as fast. */
export function alignedWith(other: number, place: number): number {
  return place + ((other - place) & (WORD_BYTES - 1));
}

/**
 * Bytes for another thread. Many of them are moved there: only what collectors count do they free in time.
 * @param memory gives fewer
 */
export function bytesToSend(memory: SpareMemory<SharedArrayBuffer>, numBytes: number): Uint8Array {
  if (numBytes > MOST_BYTES) return new Uint8Array(numBytes);
  return new Uint8Array(memory.takeBytes(numBytes), 0, numBytes);
}

/** Memory for another thread as `bytesToSend`, `spare` if it is large enough. */
export function memoryToSend(spare: SharedArrayBuffer | undefined, numBytes: number): ArrayBufferLike {
  return numBytes > MOST_BYTES ? new ArrayBuffer(numBytes) : largeEnough(spare, numBytes, sharedMemory);
}
