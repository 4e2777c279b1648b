import { brotliDecompressSync, crc32, gunzipSync } from 'node:zlib';
import type { DecodedArray, FileMetaData } from 'hyparquet';
import { parquetSchema } from 'hyparquet';
import { parquetHeader, readPage } from 'hyparquet/src/column.js';
import { DEFAULT_PARSERS } from 'hyparquet/src/convert.js';
import { getTreePath } from 'hyparquet/src/schema.js';
import type { ColumnDecoder, PageHeader } from 'hyparquet/src/types.js';
import { compressors } from 'hyparquet-compressors';
import { messageOf, TacoError } from '../errors.ts';
import type { ByteRange, ColumnChunk } from './parquet-plan.ts';

/** Values of one page: text as bytes, null or undefined where there is none. */
export interface TextPage {
  /** Row of the group that the first value is of. */
  readonly firstRow: number;
  readonly values: readonly (Uint8Array | null | undefined)[];
}

/** Enough for nearly every page header; one with long statistics is tried again with more. */
const HEADER_BYTES = 512;

/** Node's own zlib is several times faster than the portable decoders. */
const decompressors = {
  ...compressors,
  GZIP: (input: Uint8Array) => gunzipSync(input),
  BROTLI: (input: Uint8Array) => brotliDecompressSync(input),
};

/** Contiguous stretches of a file that arrive in order; what lies behind the reader is let go. */
export class SequentialBytes {
  readonly #segments: AsyncIterator<{ range: ByteRange; bytes: Uint8Array }>;
  #start = 0;
  #bytes: Uint8Array = new Uint8Array(0);

  constructor(segments: AsyncIterator<{ range: ByteRange; bytes: Uint8Array }>) {
    this.#segments = segments;
  }

  /** Bytes [start, end); `start` never goes back. May be a view. */
  async take(start: number, end: number): Promise<Uint8Array> {
    while (this.#start + this.#bytes.length < end) {
      const segment = await this.#segments.next();
      if (segment.done === true)
        throw new RangeError(`bytes ${start} to ${end} lie outside of what was planned`);
      const { range, bytes } = segment.value;
      const kept = this.#bytes.subarray(Math.max(0, start - this.#start));
      if (kept.length === 0) {
        this.#start = range.startByte;
        this.#bytes = bytes;
      } else {
        const joined = new Uint8Array(kept.length + bytes.length);
        joined.set(kept);
        joined.set(bytes, kept.length);
        this.#start += this.#bytes.length - kept.length;
        this.#bytes = joined;
      }
    }
    return this.#bytes.subarray(start - this.#start, end - this.#start);
  }
}

/**
 * Pages of one column chunk, decoded one at a time, so that a huge row group needs no more memory than a page.
 * @param skipRows rows at the start that are not wanted; pages wholly inside are not even decompressed
 * @throws TacoError `corrupt` naming file, row group and byte
 */
export async function* readTextPages(
  file: FileMetaData,
  chunk: ColumnChunk,
  source: SequentialBytes,
  { skipRows, name }: { readonly skipRows: number; readonly name: string },
): AsyncGenerator<TextPage> {
  const decoder = columnDecoder(file, chunk);
  let dictionary: DecodedArray | undefined;
  let position = chunk.startByte;
  let row = 0;
  const damaged = (cause: unknown): TacoError =>
    new TacoError(
      `${name} is damaged: row group ${chunk.group}, page at byte ${position}: ${messageOf(cause)}; fetch it again`,
      { code: 'corrupt', stage: 'source', path: name, cause },
    );
  while (row < chunk.numRows) {
    if (position >= chunk.endByte) throw damaged(`it ends after ${row} of ${chunk.numRows} rows`);
    const { header, headerBytes } = await readHeader(source, position, chunk.endByte, damaged);
    const bodyStart = position + headerBytes;
    const bodyEnd = bodyStart + header.compressed_page_size;
    if (bodyEnd > chunk.endByte || !(header.compressed_page_size >= 0)) {
      throw damaged(`it claims ${header.compressed_page_size} bytes`);
    }
    const numRows = header.data_page_header?.num_values ?? header.data_page_header_v2?.num_rows;
    if (numRows === undefined || row + numRows > skipRows) {
      const body = await source.take(bodyStart, bodyEnd);
      let values: DecodedArray | undefined;
      try {
        values = decodePage(header, body, decoder, dictionary);
      } catch (error) {
        throw damaged(error);
      }
      if (numRows === undefined) dictionary = values ?? dictionary;
      else {
        if (!isText(values, numRows)) throw damaged(`it holds ${values?.length ?? 0} of ${numRows} values`);
        const skipped = Math.max(0, skipRows - row);
        yield { firstRow: row + skipped, values: skipped === 0 ? values : values.slice(skipped) };
      }
    }
    row += numRows ?? 0;
    position = bodyEnd;
  }
}

function columnDecoder(file: FileMetaData, chunk: ColumnChunk): ColumnDecoder {
  const path = chunk.metadata.path_in_schema;
  const schemaPath = getTreePath(parquetSchema(file), path);
  // Without its annotation a string column stays bytes; `utf8: false` alone spares only unannotated ones.
  const element = { ...schemaPath.at(-1)!.element };
  delete element.converted_type;
  delete element.logical_type;
  return {
    pathInSchema: path,
    type: chunk.metadata.type,
    element,
    schemaPath,
    codec: chunk.metadata.codec,
    parsers: DEFAULT_PARSERS,
    compressors: decompressors,
    utf8: false,
  };
}

async function readHeader(
  source: SequentialBytes,
  position: number,
  end: number,
  damaged: (cause: unknown) => TacoError,
): Promise<{ header: PageHeader; headerBytes: number }> {
  for (let size = HEADER_BYTES; ; size *= 8) {
    const bytes = await source.take(position, Math.min(position + size, end));
    const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), offset: 0 };
    try {
      return { header: parquetHeader(reader), headerBytes: reader.offset };
    } catch (error) {
      if (position + size >= end) throw damaged(error);
    }
  }
}

function decodePage(
  header: PageHeader,
  body: Uint8Array,
  decoder: ColumnDecoder,
  dictionary: DecodedArray | undefined,
): DecodedArray | undefined {
  if (header.crc !== undefined && crc32(body) !== header.crc >>> 0) throw new Error('its checksum is wrong');
  if (header.type === 'INDEX_PAGE') return undefined;
  const reader = { view: new DataView(body.buffer, body.byteOffset, body.length), offset: 0 };
  return readPage(reader, header, decoder, dictionary, undefined, 0).data;
}

function isText(values: unknown, count: number): values is (Uint8Array | null | undefined)[] {
  if (!Array.isArray(values) || values.length !== count) return false;
  const first: unknown = values.find((value) => value !== null && value !== undefined);
  return first === undefined || first instanceof Uint8Array;
}
