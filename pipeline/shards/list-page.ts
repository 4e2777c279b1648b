import { endianness } from 'node:os';
import { crc32 } from 'node:zlib';
import { snappyUncompress } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';

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

/** Page sections before decompression, format versions 1 and 2 alike. */
interface PageParts {
  readonly repetition: Uint8Array;
  readonly definition: Uint8Array;
  /** PLAIN values. */
  readonly values: Uint8Array;
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
 * Decodes a column chunk of `list<int32>` rows of equal length without boxing a value: one PLAIN data page of
 * either version, Snappy or uncompressed, as our own writer makes them.
 *
 * @param chunk the whole column chunk
 * @returns [numRows * rowLength] ids, or undefined where the chunk is laid out otherwise (dictionary, several
 *   pages, another codec) and needs a general decoder
 * @throws DamagedPage when the checksum or any length or level does not fit
 */
export function decodeListPage(
  chunk: Uint8Array<ArrayBuffer>,
  layout: ListPageLayout,
): Int32Array<ArrayBuffer> | undefined {
  const reader = { view: new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength), offset: 0 };
  const header = readHeader(reader);
  const body = chunk.subarray(reader.offset);
  if (!isOwnLayout(header, body.length, layout)) return undefined;
  try {
    if (!hasChecksum(header, body)) throw new Error('its checksum differs');
    const { numRows, rowLength } = layout;
    const numValues = (header.data_page_header ?? header.data_page_header_v2)?.num_values;
    if (numValues !== numRows * rowLength) {
      throw new Error(`${numValues ?? 'no'} ids, expected ${numRows} rows of ${rowLength}`);
    }
    const parts = header.type === 'DATA_PAGE' ? splitV1(header, body, layout) : splitV2(header, body, layout);
    checkLevels(parts, layout);
    return int32Of(parts.values);
  } catch (error) {
    throw new DamagedPage(error instanceof Error ? error.message : String(error), reader.offset, error);
  }
}

function isOwnLayout(header: PageHeader, bodyBytes: number, { codec }: ListPageLayout): boolean {
  const details = header.data_page_header ?? header.data_page_header_v2;
  return (
    (header.type === 'DATA_PAGE' || header.type === 'DATA_PAGE_V2') &&
    details?.encoding === 'PLAIN' &&
    header.compressed_page_size === bodyBytes &&
    (codec === 'SNAPPY' || codec === 'UNCOMPRESSED')
  );
}

function decompress(bytes: Uint8Array, size: number, codec: string): Uint8Array {
  if (codec === 'SNAPPY') {
    const output = new Uint8Array(size);
    snappyUncompress(bytes, output);
    return output;
  }
  if (bytes.length !== size) throw new Error(`${bytes.length} bytes, expected ${size}`);
  return bytes;
}

function splitV2(header: PageHeader, body: Uint8Array, layout: ListPageLayout): PageParts {
  const details = header.data_page_header_v2!;
  const repetitionEnd = details.repetition_levels_byte_length;
  const levelsEnd = repetitionEnd + details.definition_levels_byte_length;
  const valuesBytes = layout.numRows * layout.rowLength * 4;
  if (header.uncompressed_page_size - levelsEnd !== valuesBytes || details.num_nulls !== 0) {
    throw new Error('its sizes do not fit');
  }
  const codec = details.is_compressed === false ? 'UNCOMPRESSED' : layout.codec;
  return {
    repetition: body.subarray(0, repetitionEnd),
    definition: body.subarray(repetitionEnd, levelsEnd),
    values: decompress(body.subarray(levelsEnd), valuesBytes, codec),
  };
}

function splitV1(header: PageHeader, body: Uint8Array, layout: ListPageLayout): PageParts {
  const valuesBytes = layout.numRows * layout.rowLength * 4;
  // Levels of rows of equal length take a few bytes a row; bit-packed they take at most a byte a value.
  if (header.uncompressed_page_size > 2 * valuesBytes + 1024) throw new Error('its sizes do not fit');
  const page = decompress(body, header.uncompressed_page_size, layout.codec);
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  const repetitionEnd = 4 + view.getUint32(0, true);
  const definitionEnd = repetitionEnd + 4 + view.getUint32(repetitionEnd, true);
  if (page.length - definitionEnd !== valuesBytes) throw new Error('its sizes do not fit');
  return {
    repetition: page.subarray(4, repetitionEnd),
    definition: page.subarray(repetitionEnd + 4, definitionEnd),
    values: page.subarray(definitionEnd),
  };
}

/** Each row begins with repetition level 0 and goes on with the highest; nothing is null or empty. */
function checkLevels({ repetition, definition }: PageParts, layout: ListPageLayout): void {
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

function int32Of(bytes: Uint8Array): Int32Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes); // aligned
  if (endianness() === 'BE') Buffer.from(copy.buffer).swap32();
  return new Int32Array(copy.buffer);
}
