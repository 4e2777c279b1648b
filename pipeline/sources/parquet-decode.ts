import { brotliDecompressSync, crc32, gunzipSync } from 'node:zlib';
import { decompress as decompressZstd } from 'fzstd';
import { snappyUncompress } from 'hyparquet';
import type { CompressionCodec, Compressors, DecodedArray, PageHeader } from 'hyparquet';
import { parquetHeader, readPage } from 'hyparquet/src/column.js';
import { DEFAULT_PARSERS } from 'hyparquet/src/convert.js';
import type { ColumnDecoder, DataReader } from 'hyparquet/src/types.js';
// Not the package's index: with it every thread would load the dictionary of Brotli, among others.
import { decompressLz4, decompressLz4Raw } from 'hyparquet-compressors/src/lz4.js';
import { messageOf, TacoError } from '../errors.ts';
import type { EncodedDocuments, EncodedPage } from '../types.ts';
import { MAX_DOCUMENT_BYTES } from './chunker.ts';
import { SnappyDecompressor } from './snappy.ts';

/** Text of one page as bytes, null or undefined where there is none. */
export type TextValues = readonly (Uint8Array | null | undefined)[];

/** Above this a page is decompressed where it lies: WebAssembly's memory would hold it twice more, and for good. */
const LARGE_PAGE_BYTES = 32 * 1024 * 1024;

/** Node's own zlib is several times faster than the portable decoders. */
const decompressors: Compressors = {
  GZIP: (input) => gunzipSync(input),
  BROTLI: (input) => brotliDecompressSync(input),
  ZSTD: (input) => decompressZstd(input),
  LZ4: decompressLz4,
  LZ4_RAW: decompressLz4Raw,
};

/** Decompresses and decodes the pages of text columns. One is enough for a thread. */
export class PageDecoder {
  readonly #decompressors: Compressors = {};
  readonly #snappy = new SnappyDecompressor();
  /** Whether the page is a dictionary, whose values outlive it. */
  #isDictionary = false;
  #dictionary = new Uint8Array(0);
  #decompressMs = 0;

  constructor() {
    for (const [codec, decompress] of Object.entries({ ...decompressors, SNAPPY: this.#uncompressSnappy })) {
      this.#decompressors[codec as CompressionCodec] = (input, length) => {
        const startedAt = performance.now();
        const output = decompress(input, length);
        this.#decompressMs += performance.now() - startedAt;
        return output;
      };
    }
  }

  /** Milliseconds spent decompressing so far. */
  get decompressMs(): number {
    return this.#decompressMs;
  }

  /**
   * Values of each data page of a unit, one page at a time, valid until the next.
   * @param known dictionary of pages that come without theirs
   * @throws TacoError `corrupt` naming file, row group and byte, or the row of a value too large for a document
   */
  *decode(unit: EncodedDocuments, known?: readonly Uint8Array[]): Generator<TextValues> {
    let dictionary: DecodedArray | undefined = known as Uint8Array[] | undefined;
    for (const page of unit.pages) {
      try {
        const { header, body } = splitPage(unit.bytes.subarray(page.start, page.end));
        this.#isDictionary = header.type === 'DICTIONARY_PAGE';
        const values: DecodedArray | undefined = readPage(
          body,
          header,
          this.#decoderOf(unit, page),
          dictionary,
          undefined,
          0,
        ).data;
        if (this.#isDictionary) {
          dictionary = values;
          continue;
        }
        const numValues = numValuesOf(header);
        if (!isText(values, numValues))
          throw new Error(`it holds ${values?.length ?? 0} of ${numValues} values`);
        requireDocuments(values, page.firstRow, unit.name);
        yield page.skipValues === 0 ? values : values.slice(page.skipValues);
      } catch (error) {
        throw error instanceof TacoError ? error : damagedPage(unit.name, page, error);
      }
    }
  }

  readonly #uncompressSnappy = (input: Uint8Array, length: number): Uint8Array => {
    if (length <= LARGE_PAGE_BYTES) {
      const output = this.#snappy.decompress(input, length);
      return this.#isDictionary ? this.#kept(output) : output;
    }
    const output = new Uint8Array(length);
    snappyUncompress(input, output);
    return output;
  };

  /** A copy that is there until the next dictionary. */
  #kept(output: Uint8Array): Uint8Array {
    if (this.#dictionary.length < output.length) this.#dictionary = new Uint8Array(2 * output.length);
    this.#dictionary.set(output);
    return this.#dictionary.subarray(0, output.length);
  }

  #decoderOf({ schemaPath }: EncodedDocuments, { codec }: EncodedPage): ColumnDecoder {
    // Without its annotation a string column stays bytes; `utf8: false` alone spares only unannotated ones.
    const element = { ...schemaPath.at(-1)!.element };
    delete element.converted_type;
    delete element.logical_type;
    return {
      pathInSchema: schemaPath.slice(1).map((node) => node.element.name),
      type: 'BYTE_ARRAY',
      element,
      schemaPath: [...schemaPath],
      codec,
      parsers: DEFAULT_PARSERS,
      compressors: this.#decompressors,
      utf8: false,
    };
  }
}

function splitPage(bytes: Uint8Array): { header: PageHeader; body: DataReader } {
  const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), offset: 0 };
  const header = parquetHeader(reader);
  const { crc } = header;
  if (crc !== undefined && crc32(bytes.subarray(reader.offset)) !== crc >>> 0) {
    throw new Error('its checksum is wrong');
  }
  return { header, body: reader };
}

/** A page that is not what it claims to be. */
export function damagedPage(
  name: string,
  { group, fileOffset }: Pick<EncodedPage, 'group' | 'fileOffset'>,
  cause: unknown,
): TacoError {
  return new TacoError(
    `${name} is damaged: row group ${group}, page at byte ${fileOffset}: ${messageOf(cause)}; fetch it again`,
    { code: 'corrupt', stage: 'source', path: name, cause },
  );
}

/** Values of a data page, nulls included. */
export function numValuesOf({ data_page_header, data_page_header_v2 }: PageHeader): number {
  return data_page_header?.num_values ?? data_page_header_v2?.num_rows ?? 0;
}

function isText(values: unknown, count: number): values is (Uint8Array | null | undefined)[] {
  if (!Array.isArray(values) || values.length !== count) return false;
  const first: unknown = values.find((value) => value !== null && value !== undefined);
  return first === undefined || first instanceof Uint8Array;
}

function requireDocuments(values: TextValues, firstRow: number, path: string): void {
  const index = values.findIndex((value) => value != null && value.length > MAX_DOCUMENT_BYTES);
  if (index !== -1) throw documentTooLarge(firstRow + index, path);
}

/** A value that is surely no document. */
export function documentTooLarge(row: number, path: string): TacoError {
  return new TacoError(
    `row ${row} of ${path} is over ${MAX_DOCUMENT_BYTES >> 20} MiB, expected the text of one document; split it, or name another column`,
    { code: 'corrupt', stage: 'source', path },
  );
}
