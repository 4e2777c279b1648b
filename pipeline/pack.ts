import { alignedWith } from './spare-memory.ts';
import type { PrepareCursor, Split } from './shards/manifest.ts';
import type { SpecialTokenIds, TokenChunk } from './types.ts';

export interface PackOptions {
  /** Ids per row. */
  readonly maxSeqLen: number;
  /**
   * `concat`: [CLS] ids [SEP] of each document, one after another, cut every `maxSeqLen`; a row may cross
   * documents. `documents`: a row holds one document; long ones are cut into several rows, each with its own
   * [CLS] and [SEP], short ones are padded.
   */
  readonly packing: 'concat' | 'documents';
  readonly rowsPerGroup: number;
  readonly specialTokenIds: SpecialTokenIds;
}

/** Whole rows of one split, ready to be written. */
export interface RowGroup {
  readonly split: Split;
  /** [rows * maxSeqLen] */
  readonly ids: Int32Array<ArrayBuffer>;
  readonly rows: number;
  /** Ids that are not padding. */
  readonly tokens: number;
}

/** What `finish` did with the last, unfinished row of a split. */
export interface Remainder {
  /** The rows that were left, or undefined when there are none. */
  readonly group: RowGroup | undefined;
  /** Ids of the unfinished row that were dropped. */
  readonly dropped: number;
}

export type PackedDocuments = Pick<TokenChunk, 'ids' | 'ends' | 'validation' | 'hashes' | 'firstDocument'>;

/**
 * Whether a document is packed or left out.
 * @param hashes as in `TokenChunk`
 * @param index the document's place in them
 * @param numTokens of it, without [CLS] and [SEP]
 */
export type Admission = (hashes: Uint32Array, index: number, numTokens: number) => boolean;

export type MemoryForIds = (numIds: number) => Int32Array<ArrayBuffer>;

export type PackPosition = Pick<PrepareCursor, 'document' | 'token'>;

/**
 * Cuts tokenized documents into rows. A function of the documents and of where it starts: two packers that are
 * given the same documents, however they are distributed over chunks, yield the same rows.
 */
export class Packer {
  readonly #options: PackOptions;
  readonly #splits: Readonly<Record<Split, SplitBuffer>>;
  readonly #admit: Admission | undefined;
  /** Place in the chunk behind everything that was packed. */
  #document = 0;
  #token = 0;

  /**
   * @param carry ids of the row that each split has begun, from an earlier packer's `carry`
   * @param admit asked once for each document that is begun, in order; without it all of them are packed
   * @param memoryFor gives memory for the ids of a group, whatever is in it
   */
  constructor(
    options: PackOptions,
    carry: PrepareCursor['carry'] = { train: [], validation: [] },
    admit?: Admission,
    memoryFor: MemoryForIds = (numIds) => new Int32Array(numIds),
  ) {
    this.#options = options;
    this.#admit = admit;
    this.#splits = {
      train: new SplitBuffer('train', options, carry.train, memoryFor),
      validation: new SplitBuffer('validation', options, carry.validation, memoryFor),
    };
  }

  /** Place in the chunk behind everything that was packed. */
  get position(): PackPosition {
    return { document: this.#document, token: this.#token };
  }

  /** The begun rows: empty for `documents`, which begins none. */
  get carry(): PrepareCursor['carry'] {
    return { train: this.#splits.train.begunRow(), validation: this.#splits.validation.begunRow() };
  }

  /**
   * Packs a part of a chunk and yields each row group when it is full. Between two groups `position`, `carry` and
   * `takeRows` tell the state to go on from.
   * @param from where in the chunk to start, for the first chunk after a restart: what is before it is packed already
   */
  *pack(chunk: PackedDocuments, from: PackPosition = { document: 0, token: 0 }): Generator<RowGroup> {
    const { firstDocument, ends, validation } = chunk;
    const isConcat = this.#options.packing === 'concat';
    const first = Math.max(from.document, firstDocument);
    this.#document = first;
    this.#token = first === from.document ? from.token : 0;
    let nextValidation = 0;
    for (let index = first - firstDocument; index < ends.length; ) {
      while (validation[nextValidation]! < index) nextValidation += 1;
      const firstOther = validation[nextValidation] ?? ends.length;
      const split = firstOther === index ? 'validation' : 'train';
      // Documents may be single sentences, millions of them: what lies side by side is packed at once.
      const isRun = isConcat && this.#admit === undefined && split === 'train';
      const end = isRun ? firstOther : index + 1;
      const buffer = this.#splits[split];
      // A document without a token would only add an empty [CLS] [SEP].
      let isOpen = this.#admits(chunk, index) && startOf(ends, index) < ends[end - 1]!;
      while (isOpen) {
        isOpen = isConcat ? this.#appendRun(buffer, chunk, end) : this.#appendRow(buffer, chunk, index);
        if (buffer.isFull) yield buffer.take();
      }
      this.#moveBehind(firstDocument + end - 1);
      index = end;
    }
  }

  /** Of a document that was begun before a restart it is known. */
  #admits({ hashes, ends }: PackedDocuments, index: number): boolean {
    if (this.#admit === undefined || this.#token > 0) return true;
    if (hashes === undefined) throw new TypeError('documents without hashes cannot be compared');
    const numIds = ends[index]! - startOf(ends, index);
    return this.#admit(hashes, index, Math.max(0, numIds - NUM_FRAME_IDS));
  }

  #moveBehind(document: number): void {
    this.#document = document + 1;
    this.#token = 0;
  }

  /** The whole rows that a split has gathered towards its next group, which begins anew. */
  takeRows(split: Split): RowGroup | undefined {
    return this.#splits[split].hasRows ? this.#splits[split].take() : undefined;
  }

  /** Ends a split: pads or drops its begun row. */
  finish(split: Split, remainder: 'pad' | 'drop'): Remainder {
    const buffer = this.#splits[split];
    const begun = buffer.begunRow().length;
    if (remainder === 'pad') buffer.padRow();
    return { group: this.takeRows(split), dropped: remainder === 'drop' ? begun : 0 };
  }

  /**
   * Appends what fits into the group of the documents of a chunk from the position on, one right behind the other.
   * @param end exclusive, of the documents
   * @returns whether some is left
   */
  #appendRun(buffer: SplitBuffer, { ids, ends, firstDocument }: PackedDocuments, end: number): boolean {
    const at = startOf(ends, this.#document - firstDocument) + this.#token;
    const stop = ends[end - 1]!;
    const cut = Math.min(stop, at + buffer.room);
    buffer.append(ids, at, cut);
    const last = buffer.isFull ? firstNotBelow(ends, cut) : end - 1;
    if (ends[last] === cut) this.#moveBehind(firstDocument + last);
    else {
      this.#document = firstDocument + last;
      this.#token = cut - startOf(ends, last);
    }
    return cut < stop;
  }

  /**
   * Appends one row: [CLS], the next piece of a document, [SEP], padding.
   * @returns whether some is left
   */
  #appendRow(buffer: SplitBuffer, { ids, ends, firstDocument }: PackedDocuments, index: number): boolean {
    const { cls, sep } = this.#options.specialTokenIds;
    const first = startOf(ends, index) + 1;
    const stop = ends[index]! - 1;
    const at = first + this.#token;
    const cut = Math.min(stop, at + this.#options.maxSeqLen - NUM_FRAME_IDS);
    buffer.push(cls);
    buffer.append(ids, at, cut);
    buffer.push(sep);
    buffer.padRow();
    if (cut === stop) this.#moveBehind(firstDocument + index);
    else this.#token = cut - first;
    return cut < stop;
  }
}

/** [CLS] and [SEP]. */
const NUM_FRAME_IDS = 2;

function startOf(ends: Uint32Array, index: number): number {
  return index === 0 ? 0 : ends[index - 1]!;
}

/** Index of the first of ascending numbers that is at least `value`; there is one. */
function firstNotBelow(numbers: Uint32Array, value: number): number {
  let low = 0;
  let high = numbers.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Below this a loop is faster than a view and its copy. */
const SHORT_COPY_IDS = 32;

/** One split's group in the making: at most `rowsPerGroup` rows. */
class SplitBuffer {
  readonly #split: Split;
  readonly #maxSeqLen: number;
  readonly #capacity: number;
  readonly #pad: number;
  readonly #memoryFor: MemoryForIds;
  readonly #scratch: Int32Array;
  #ids: Int32Array<ArrayBuffer>;
  #fill = 0;
  #padding = 0;

  constructor(split: Split, options: PackOptions, carry: readonly number[], memoryFor: MemoryForIds) {
    this.#memoryFor = memoryFor;
    this.#split = split;
    this.#maxSeqLen = options.maxSeqLen;
    this.#capacity = options.maxSeqLen * options.rowsPerGroup;
    // One more for the alignment.
    this.#scratch = new Int32Array(this.#capacity + 1);
    this.#pad = options.specialTokenIds.pad;
    this.#ids = memoryFor(this.#capacity);
    this.#ids.set(carry);
    this.#fill = carry.length;
  }

  get room(): number {
    return this.#capacity - this.#fill;
  }

  get isFull(): boolean {
    return this.#fill === this.#capacity;
  }

  get hasRows(): boolean {
    return this.#fill >= this.#maxSeqLen;
  }

  push(id: number): void {
    this.#ids[this.#fill] = id;
    this.#fill += 1;
  }

  append(ids: Int32Array, start: number, end: number): void {
    if (end - start > SHORT_COPY_IDS) {
      this.#ids.set(this.#aligned(ids.subarray(start, end)), this.#fill);
    } else {
      const out = this.#ids;
      const shift = this.#fill - start;
      for (let index = start; index < end; index += 1) out[shift + index] = ids[index]!;
    }
    this.#fill += end - start;
  }

  /** Ids that can be copied fast to where they go: themselves, or a copy outside of shared memory. */
  #aligned(ids: Int32Array): Int32Array {
    if (alignedWith(4 * this.#fill, ids.byteOffset) === ids.byteOffset) return ids;
    const first = alignedWith(ids.byteOffset, 0) / 4;
    this.#scratch.set(ids, first);
    return this.#scratch.subarray(first, first + ids.length);
  }

  padRow(): void {
    const missing = (this.#maxSeqLen - (this.#fill % this.#maxSeqLen)) % this.#maxSeqLen;
    this.#ids.fill(this.#pad, this.#fill, this.#fill + missing);
    this.#fill += missing;
    this.#padding += missing;
  }

  begunRow(): number[] {
    return Array.from(this.#ids.subarray(this.#fill - (this.#fill % this.#maxSeqLen), this.#fill));
  }

  take(): RowGroup {
    const begun = this.begunRow();
    const rows = (this.#fill - begun.length) / this.#maxSeqLen;
    const ids = rows * this.#maxSeqLen;
    const group = { split: this.#split, ids: this.#ids.subarray(0, ids), rows, tokens: ids - this.#padding };
    this.#ids = this.#memoryFor(this.#capacity);
    this.#ids.set(begun);
    this.#fill = begun.length;
    this.#padding = 0;
    return group;
  }
}
