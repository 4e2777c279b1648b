import { crc32 } from 'node:zlib';
import { parquetHeader } from 'hyparquet/src/column.js';
import { decodeDelta } from './delta.ts';

/** What a column chunk of token rows must hold. */
export interface ListPageLayout {
  readonly numRows: number;
  readonly rowLength: number;
  readonly codec: string;
  /** Highest repetition and definition level of the leaf column. */
  readonly maxRepetition: number;
  readonly maxDefinition: number;
}

/** Bytes that are not what the file claims. */
export class DamagedPage extends Error {
  /** Where in the column chunk. */
  readonly offset: number;

  constructor(message: string, offset: number, cause?: unknown) {
    super(message, { cause });
    this.offset = offset;
  }
}

type PageHeader = ReturnType<typeof parquetHeader>;

/**
 * Walks the pages of a column chunk and verifies their checksums, so that a general decoder, which trusts the
 * sizes in the headers, can be let loose on it.
 * @throws DamagedPage when the pages do not fill the chunk exactly or a checksum differs
 */
export function checkPages(chunk: Uint8Array<ArrayBuffer>, { numRows, rowLength }: ListPageLayout): void {
  const reader = { view: new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength), offset: 0 };
  const mostBytes = 16 * numRows * rowLength + (1 << 20);
  while (reader.offset < chunk.length) {
    const header = readHeader(reader);
    const { compressed_page_size: size, uncompressed_page_size: plainSize } = header;
    const body = chunk.subarray(reader.offset, reader.offset + size);
    if (!(size > 0 && body.length === size && plainSize >= 0 && plainSize <= mostBytes)) {
      throw new DamagedPage('its sizes do not fit', reader.offset);
    }
    if (!hasChecksum(header, body)) throw new DamagedPage('its checksum differs', reader.offset);
    reader.offset += size;
  }
}

function readHeader(reader: { view: DataView<ArrayBuffer>; offset: number }): PageHeader {
  const start = reader.offset;
  try {
    return parquetHeader(reader);
  } catch (error) {
    throw new DamagedPage('a page header cannot be read', start, error);
  }
}

/** The checksum stands for the bytes as stored and, unlike a decoder, finds every single flipped bit. */
function hasChecksum({ crc }: PageHeader, body: Uint8Array): boolean {
  return crc === undefined || crc32(body) === crc >>> 0;
}

/**
 * Decodes a column chunk of `list<int32>` rows of equal length without boxing a value: one data page of version 2,
 * DELTA_BINARY_PACKED without a codec, as our own writer makes them.
 *
 * @param chunk the whole column chunk
 * @returns [numRows * rowLength] ids, or undefined where the chunk is laid out otherwise (another encoding, several
 *   pages, a codec) and needs a general decoder
 * @throws DamagedPage when the checksum or any length or level does not fit
 */
export function decodeListPage(
  chunk: Uint8Array<ArrayBuffer>,
  layout: ListPageLayout,
): Int32Array<ArrayBuffer> | undefined {
  const reader = { view: new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength), offset: 0 };
  const header = readHeader(reader);
  const body = chunk.subarray(reader.offset);
  const details = header.data_page_header_v2;
  if (
    header.type !== 'DATA_PAGE_V2' ||
    details?.encoding !== 'DELTA_BINARY_PACKED' ||
    layout.codec !== 'UNCOMPRESSED' ||
    header.compressed_page_size !== body.length
  ) {
    return undefined;
  }
  try {
    if (!hasChecksum(header, body)) throw new Error('its checksum differs');
    const { numRows, rowLength } = layout;
    const numValues = numRows * rowLength;
    if (details.num_values !== numValues || details.num_nulls !== 0) {
      throw new Error(`${details.num_values} ids, expected ${numRows} rows of ${rowLength}`);
    }
    const repetitionEnd = details.repetition_levels_byte_length;
    const levelsEnd = repetitionEnd + details.definition_levels_byte_length;
    checkLevels(body.subarray(0, repetitionEnd), body.subarray(repetitionEnd, levelsEnd), layout);
    return decodeDelta(body.subarray(levelsEnd), numValues);
  } catch (error) {
    throw new DamagedPage(error instanceof Error ? error.message : String(error), reader.offset, error);
  }
}

/** Each row begins with repetition level 0 and goes on with the highest; nothing is null or empty. */
function checkLevels(repetition: Uint8Array, definition: Uint8Array, layout: ListPageLayout): void {
  const { numRows, rowLength, maxRepetition, maxDefinition } = layout;
  const numValues = numRows * rowLength;
  const definitions = decodeLevels(definition, maxDefinition, numValues);
  if (!definitions.every((level) => level === maxDefinition)) throw new Error('an id is missing');
  const repetitions = decodeLevels(repetition, maxRepetition, numValues);
  for (let start = 0; start < numValues; start += rowLength) {
    if (repetitions[start] !== 0)
      throw new Error(`row ${start / rowLength - 1} has more than ${rowLength} ids`);
    for (let i = start + 1; i < start + rowLength; i += 1) {
      if (repetitions[i] !== maxRepetition)
        throw new Error(`row ${start / rowLength} has ${i - start} ids, expected ${rowLength}`);
    }
  }
}

/** Parquet's hybrid of runs and bit-packed groups of eight. */
function decodeLevels(bytes: Uint8Array, maxLevel: number, count: number): Uint8Array {
  const levels = new Uint8Array(count);
  const bitWidth = 32 - Math.clz32(maxLevel);
  let filled = 0;
  let offset = 0;
  while (filled < count) {
    let head = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[offset];
      if (byte === undefined || shift > 28) throw new Error('its levels end early');
      offset += 1;
      head |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    head >>>= 0;
    if ((head & 1) === 0) {
      const end = Math.min(count, filled + (head >>> 1));
      if (end === filled) throw new Error('its levels hold an empty run');
      levels.fill(bytes[offset] ?? 0xff, filled, end);
      offset += 1;
      filled = end;
    } else {
      const groupBytes = (head >>> 1) * bitWidth;
      if (groupBytes === 0 || offset + groupBytes > bytes.length) throw new Error('its levels end early');
      const end = Math.min(count, filled + (head >>> 1) * 8);
      for (let bit = 0; filled < end; filled += 1, bit += bitWidth) {
        const word = bytes[offset + (bit >>> 3)]! | ((bytes[offset + (bit >>> 3) + 1] ?? 0) << 8);
        levels[filled] = (word >>> (bit & 7)) & ((1 << bitWidth) - 1);
      }
      offset += groupBytes;
    }
  }
  return levels;
}
