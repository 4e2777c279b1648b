import type { CompressionCodec, PageHeader } from 'hyparquet';
import { readRleBitPackedHybrid } from 'hyparquet/src/encoding.js';
import { crc32 } from 'node:zlib';
import { TacoError } from '../errors.ts';
import type { EncodedPage } from '../types.ts';
import { MAX_DOCUMENT_BYTES } from './chunker.ts';
import { BlockReader, canStream, decompressed } from './page-stream.ts';
import { damagedPage, numValuesOf, documentTooLarge, type TextValues } from './parquet-decode.ts';

/** Above this a page of values is decoded while it is read. Pages of one megabyte are the rule. */
const LARGE_PAGE_BYTES = 32 * 1024 * 1024;
/** Above this a dictionary stays in one place; below, every unit of pages carries it. */
const LARGE_DICTIONARY_BYTES = 8 * 1024 * 1024;
/** What cannot be read in pieces must fit into memory, compressed and decompressed, beside everything else. */
const MAX_WHOLE_PAGE_BYTES = 96 * 1024 * 1024;
const MAX_DICTIONARY_BYTES = 240 * 1024 * 1024;

/** Length that a PLAIN value carries in front. */
const LENGTH_BYTES = 4;

/** A page whose header has been read. */
export interface PageFacts extends Pick<EncodedPage, 'group' | 'fileOffset' | 'firstRow'> {
  /** File's name, for messages. */
  readonly name: string;
  readonly header: PageHeader;
  readonly codec: CompressionCodec;
  /** Whether the column has no nulls, by its schema. */
  readonly isRequired: boolean;
}

/** Bytes of a page's body as they come, in order. */
export type Pieces = AsyncIterable<Uint8Array>;

export function isDictionaryPage({ type }: PageHeader): boolean {
  return type === 'DICTIONARY_PAGE';
}

export function isDictionaryEncoded(header: PageHeader): boolean {
  const encoding = encodingOf(header);
  return encoding === 'PLAIN_DICTIONARY' || encoding === 'RLE_DICTIONARY';
}

/**
 * Whether a page is decoded while it is read, in constant memory, or, a dictionary, into memory of its own.
 * @throws TacoError `bad-config` when it is too large for any way of reading it
 */
export function isStreamed({ name, group, fileOffset, header, codec }: PageFacts): boolean {
  const sizeBytes = Math.max(header.uncompressed_page_size, header.compressed_page_size);
  const isDictionary = isDictionaryPage(header);
  const isPossible =
    canStream(codec) && (isDictionary || (encodingOf(header) === 'PLAIN' && levelsAreRle(header)));
  const maxBytes = !isPossible
    ? MAX_WHOLE_PAGE_BYTES
    : isDictionary
      ? MAX_DICTIONARY_BYTES
      : Number.POSITIVE_INFINITY;
  if (sizeBytes > maxBytes) {
    const what = isDictionary ? 'dictionary' : `page (${codec}, ${encodingOf(header)})`;
    throw new TacoError(
      `row group ${group} of ${name} has a ${what} of ${megabytes(sizeBytes)} at byte ${fileOffset}, expected at most ${megabytes(maxBytes)} to stay within memory; write the file again with smaller row groups`,
      { code: 'bad-config', stage: 'source', path: name },
    );
  }
  return isPossible && sizeBytes > (isDictionary ? LARGE_DICTIONARY_BYTES : LARGE_PAGE_BYTES);
}

/**
 * Values of a large page in order, some at a time, from `skipValues` on; views, valid until the next are asked for.
 * @throws TacoError `corrupt` naming file, row group and byte, or the row of a value too large for a document
 */
export async function* valuesOf(
  page: PageFacts,
  skipValues: number,
  pieces: Pieces,
): AsyncGenerator<TextValues> {
  const reader = new BlockReader(blocksOf(page, pieces));
  try {
    const isNull = await readNulls(page, reader);
    const numRows = numValuesOf(page.header);
    let row = 0;
    for await (const values of plainValues(
      page,
      reader.rest(),
      (index) => page.firstRow + rowOfValue(index, isNull),
    )) {
      const batch: (Uint8Array | null)[] = [];
      const firstRow = row;
      for (const value of values) {
        for (; isNull[row] === 1; row += 1) batch.push(null);
        batch.push(value);
        row += 1;
      }
      if (row > numRows) throw new Error(`it holds more than ${numRows} values`);
      if (row > skipValues) yield batch.slice(Math.max(0, skipValues - firstRow));
    }
    while (isNull[row] === 1) row += 1;
    if (row !== numRows) throw new Error(`it holds ${row} of ${numRows} values`);
  } catch (error) {
    throw error instanceof TacoError ? error : damagedPage(page.name, page, error);
  } finally {
    await reader.close();
  }
}

/**
 * Values of a large dictionary, each in memory of its own.
 * @throws TacoError as `valuesOf`
 */
export async function readDictionary(page: PageFacts, pieces: Pieces): Promise<readonly Uint8Array[]> {
  const dictionary: Uint8Array[] = [];
  const { crc } = page.header;
  const checksum = new Checksum();
  const reader = new BlockReader(blocksOf(page, crc === undefined ? pieces : checksum.of(pieces)));
  try {
    for await (const values of plainValues(page, reader.rest(), (index) => page.firstRow + index)) {
      for (const value of values) dictionary.push(value.slice());
    }
    const numValues = page.header.dictionary_page_header?.num_values ?? 0;
    if (dictionary.length !== numValues)
      throw new Error(`it holds ${dictionary.length} of ${numValues} values`);
    if (crc !== undefined) checksum.require(crc);
    return dictionary;
  } catch (error) {
    throw error instanceof TacoError ? error : damagedPage(page.name, page, error);
  } finally {
    await reader.close();
  }
}

/** Reads a page to its end. @throws TacoError `corrupt` when its checksum is another */
export async function requireChecksum(page: PageFacts, crc: number, pieces: Pieces): Promise<void> {
  const checksum = new Checksum();
  for await (const piece of pieces) checksum.add(piece);
  try {
    checksum.require(crc);
  } catch (error) {
    throw damagedPage(page.name, page, error);
  }
}

class Checksum {
  #value = 0;

  async *of(pieces: Pieces): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces) {
      this.add(piece);
      yield piece;
    }
  }

  add(piece: Uint8Array): void {
    this.#value = crc32(piece, this.#value);
  }

  require(crc: number): void {
    if (this.#value !== crc >>> 0) throw new Error('its checksum is wrong');
  }
}

/** The page's bytes, decompressed; of version 2 the levels in front are not compressed. */
async function* blocksOf({ header, codec }: PageFacts, pieces: Pieces): AsyncGenerator<Uint8Array> {
  const { data_page_header_v2: v2, compressed_page_size, uncompressed_page_size } = header;
  const levelBytes =
    v2 === undefined ? 0 : v2.definition_levels_byte_length + v2.repetition_levels_byte_length;
  const body = {
    codec: v2?.is_compressed === false ? 'UNCOMPRESSED' : codec,
    compressedBytes: compressed_page_size - levelBytes,
    uncompressedBytes: uncompressed_page_size - levelBytes,
  } as const;
  const reader = new BlockReader(pieces);
  if (levelBytes > 0) yield await reader.read(levelBytes);
  yield* decompressed(reader.rest(), body);
}

/** [num values] 1 where there is none; nothing where all are there. */
async function readNulls({ header, isRequired }: PageFacts, reader: BlockReader): Promise<Uint8Array> {
  if (isRequired) return new Uint8Array(0);
  const { data_page_header_v2: v2 } = header;
  const numBytes =
    v2 === undefined ? numberOf(await reader.read(LENGTH_BYTES)) : v2.definition_levels_byte_length;
  if (!(numBytes <= header.uncompressed_page_size)) throw new Error(`it claims ${numBytes} bytes of levels`);
  if (numBytes === 0) return new Uint8Array(0);
  const bytes = await reader.read(numBytes);
  const levels = new Array<number>(numValuesOf(header));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  readRleBitPackedHybrid({ view, offset: 0 }, 1, levels, numBytes);
  return Uint8Array.from(levels, (level) => 1 - level);
}

/**
 * PLAIN values, as many as end in each block; views or memory of their own.
 * @param rowOf row of the file that a value is of, for messages
 */
async function* plainValues(
  { name }: PageFacts,
  blocks: Pieces,
  rowOf: (index: number) => number,
): AsyncGenerator<readonly Uint8Array[]> {
  const lengthBytes = new Uint8Array(LENGTH_BYTES);
  let numValues = 0;
  /** A value that began in an earlier block; without one, a length. */
  let begun: Uint8Array | undefined;
  let filled = 0;
  for await (const block of blocks) {
    const values: Uint8Array[] = [];
    for (let at = 0; at < block.length; ) {
      if (begun !== undefined) {
        const part = block.subarray(at, at + begun.length - filled);
        begun.set(part, filled);
        filled += part.length;
        at += part.length;
        if (filled < begun.length) break;
        values.push(begun);
        begun = undefined;
        filled = 0;
        continue;
      }
      for (; filled < LENGTH_BYTES && at < block.length; filled += 1, at += 1)
        lengthBytes[filled] = block[at]!;
      if (filled < LENGTH_BYTES) break;
      const length = numberOf(lengthBytes);
      if (length > MAX_DOCUMENT_BYTES) throw documentTooLarge(rowOf(numValues + values.length), name);
      filled = 0;
      if (at + length <= block.length) {
        values.push(block.subarray(at, at + length));
        at += length;
      } else begun = new Uint8Array(length);
    }
    numValues += values.length;
    if (values.length > 0) yield values;
  }
  if (filled > 0 || begun !== undefined) throw new Error('it ends within a value');
}

/** Row within the page of its n-th value that is there. */
function rowOfValue(index: number, isNull: Uint8Array): number {
  let row = 0;
  for (let left = index; left > 0 || isNull[row] === 1; row += 1) left -= isNull[row] === 1 ? 0 : 1;
  return row;
}

/** Little-endian. */
function numberOf(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, LENGTH_BYTES).getUint32(0, true);
}

function encodingOf({ data_page_header, data_page_header_v2 }: PageHeader): string {
  return (data_page_header ?? data_page_header_v2)?.encoding ?? 'PLAIN';
}

function levelsAreRle({ data_page_header }: PageHeader): boolean {
  return data_page_header === undefined || data_page_header.definition_level_encoding === 'RLE';
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
