import { memoryToSend } from '../spare-memory.ts';
import { HASH_LANES, hashDocuments } from '../text/document-hash.ts';
import { countCharacters } from '../text/utf8.ts';
import type { TokenizerSpec } from '../text/vocabulary.ts';
import { createTokenizer, type Tokenizer } from '../text/wordpiece.ts';
import type { TokenChunk } from '../types.ts';
import { validationRule, type ValidationSettings } from '../validation.ts';

/** What is found out about documents besides their tokens. */
export interface DocumentSettings extends ValidationSettings {
  /** Whether hashes are wanted, by which duplicates are told. */
  readonly dedup: 'none' | 'exact';
}

/** What the text of documents says about them. */
export type EncodedPart = Pick<
  TokenChunk,
  'ids' | 'ends' | 'validation' | 'hashes' | 'textBytes' | 'numTokens' | 'numCharacters' | 'numUnknown'
>;

/** Makes of the text of documents all that packing needs to know. For one thread: it keeps memory. */
export class PartEncoder {
  readonly #tokenizer: Tokenizer;
  readonly #isValidation: (low: number, high: number) => boolean;
  readonly #sendsHashes: boolean;
  /** Of the documents of the last part. */
  #hashes = new Uint32Array(HASH_LANES * 1024);

  constructor(spec: TokenizerSpec, settings: DocumentSettings) {
    this.#tokenizer = createTokenizer(spec);
    this.#isValidation = validationRule(settings);
    this.#sendsHashes = settings.dedup !== 'none';
  }

  /**
   * @param text bytes of the documents, one after another
   * @param ends [num documents] exclusive end of each in `text`
   * @param spare memory for the result, used if it is large enough
   * @throws TacoError `corrupt` for a document that is none
   */
  encode(text: Uint8Array, ends: Uint32Array, spare: SharedArrayBuffer | undefined): EncodedPart {
    const numLanes = HASH_LANES * ends.length;
    if (this.#hashes.length < numLanes) this.#hashes = new Uint32Array(2 * numLanes);
    hashDocuments(text, ends, this.#hashes);
    // One piece of memory for all: documents may be single sentences, with more hash than ids.
    let hashes: Uint32Array | undefined;
    const memoryFor = (numBytes: number): ArrayBufferLike => {
      if (!this.#sendsHashes) return memoryToSend(spare, numBytes);
      const memory = memoryToSend(spare, numBytes + 4 * numLanes);
      hashes = new Uint32Array(memory, numBytes, numLanes);
      return memory;
    };
    const tokens = this.#tokenizer.encodeDocuments(text, ends, { addSpecialTokens: true, memoryFor });
    hashes?.set(this.#hashes.subarray(0, numLanes));
    const validation: number[] = [];
    this.#pickValidation(ends.length, validation);
    return {
      ...tokens,
      validation: Uint32Array.from(validation),
      hashes,
      textBytes: text.length,
      numCharacters: countCharacters(text),
    };
  }

  #pickValidation(numDocuments: number, places: number[]): void {
    for (let index = 0; index < numDocuments; index += 1) {
      const lane = HASH_LANES * index;
      if (this.#isValidation(this.#hashes[lane]!, this.#hashes[lane + 1]!)) places.push(index);
    }
  }
}
