import { pairKeysOf } from './random.ts';
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
  /** Share of the documents that go to validation, 0 to 1. */
  readonly validation: number;
  readonly seed: number;
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

export type PackedDocuments = Pick<TokenChunk, 'ids' | 'ends' | 'hashes' | 'firstDocument'>;
/**
 * Whether a document is packed or left out.
 * @param hashes as in `TokenChunk`
 * @param index the document's place in them
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
  readonly #admit: Admission;
  readonly #isValidation: ReturnType<typeof validationRule>;
  /** Place in the chunk behind everything that was packed. */
  #document = 0;
  #token = 0;

  /**
   * @param carry ids of the row that each split has begun, from an earlier packer's `carry`
   * @param admit asked once for each document that is begun
   * @param memoryFor gives memory for the ids of a group, whatever is in it
   */
  constructor(
    options: PackOptions,
    carry: PrepareCursor['carry'] = { train: [], validation: [] },
    admit: Admission = () => true,
    memoryFor: MemoryForIds = (numIds) => new Int32Array(numIds),
  ) {
    this.#options = options;
    this.#admit = admit;
    this.#isValidation = validationRule(options);
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
    const { firstDocument, ids, ends, hashes } = chunk;
    const isConcat = this.#options.packing === 'concat';
    const { train, validation } = this.#splits;
    const first = Math.max(from.document, firstDocument);
    this.#document = first;
    this.#token = first === from.document ? from.token : 0;
    // Documents may be single sentences, millions of them: nothing is made for each.
    for (let index = first - firstDocument; index < ends.length; index += 1) {
      const start = index === 0 ? 0 : ends[index - 1]!;
      const end = ends[index]!;
      // A document without a token would only add an empty [CLS] [SEP].
      let isOpen = (this.#token > 0 || this.#admit(hashes, index, end - start)) && start < end;
      if (isOpen) {
        const buffer = this.#isValidation(hashes[4 * index]!, hashes[4 * index + 1]!) ? validation : train;
        while (isOpen) {
          isOpen = isConcat
            ? this.#appendConcat(buffer, ids, start, end)
            : this.#appendRow(buffer, ids, start, end);
          if (!isOpen) this.#moveBehind(firstDocument + index);
          if (buffer.isFull) yield buffer.take();
        }
      }
      this.#moveBehind(firstDocument + index);
    }
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
   * Appends what fits into the group of [CLS] ids [SEP].
   * @param start of the document in `ids`
   * @param end exclusive
   * @returns whether some is left
   */
  #appendConcat(buffer: SplitBuffer, ids: Int32Array, start: number, end: number): boolean {
    const { cls, sep } = this.#options.specialTokenIds;
    const last = end - start + 1;
    let place = this.#token;
    const stop = Math.min(last + 1, place + buffer.room);
    if (place === 0 && place < stop) {
      buffer.push(cls);
      place = 1;
    }
    const stopIds = Math.min(last, stop);
    if (place < stopIds) {
      buffer.append(ids, start + place - 1, start + stopIds - 1);
      place = stopIds;
    }
    if (place === last && place < stop) {
      buffer.push(sep);
      place += 1;
    }
    this.#token = place;
    return place <= last;
  }

  /** Appends one row: [CLS], the next piece of the document, [SEP], padding. Parameters and result as above. */
  #appendRow(buffer: SplitBuffer, ids: Int32Array, start: number, end: number): boolean {
    const { cls, sep } = this.#options.specialTokenIds;
    const stop = Math.min(end, start + this.#token + this.#options.maxSeqLen - 2);
    buffer.push(cls);
    buffer.append(ids, start + this.#token, stop);
    buffer.push(sep);
    buffer.padRow();
    this.#token = stop - start;
    return stop < end;
  }
}

/**
 * Whether a document belongs to the validation split: decided by its bytes and the seed alone, so that neither
 * order nor workers matter and equal documents stay on one side.
 * @returns asks of the lowest 32 bits of the hash of the document's bytes and of the next 32 bits
 */
export function validationRule({
  validation,
  seed,
}: Pick<PackOptions, 'validation' | 'seed'>): (low: number, high: number) => boolean {
  const keys = pairKeysOf(seed);
  const limit = validation * 0x1_0000_0000;
  return (low, high) => keys(low, high) < limit;
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
  #ids: Int32Array<ArrayBuffer>;
  #fill = 0;
  #padding = 0;

  constructor(split: Split, options: PackOptions, carry: readonly number[], memoryFor: MemoryForIds) {
    this.#memoryFor = memoryFor;
    this.#split = split;
    this.#maxSeqLen = options.maxSeqLen;
    this.#capacity = options.maxSeqLen * options.rowsPerGroup;
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
      this.#ids.set(ids.subarray(start, end), this.#fill);
    } else {
      const out = this.#ids;
      const shift = this.#fill - start;
      for (let index = start; index < end; index += 1) out[shift + index] = ids[index]!;
    }
    this.#fill += end - start;
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
