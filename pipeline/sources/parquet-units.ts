import type { FileMetaData, PageHeader } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { getSchemaPath } from 'hyparquet/src/schema.js';
import type { EncodedDocuments, EncodedPage } from '../types.ts';
import type { SpareMemory } from '../spare-memory.ts';
import { MAX_CHUNK_BYTES, MAX_CHUNK_DOCUMENTS } from './chunker.ts';
import { damagedPage, numValuesOf } from './parquet-decode.ts';
import type { ByteRange, ColumnChunk } from './parquet-plan.ts';
import type { SequentialBytes } from './sequential-bytes.ts';

/** Enough for nearly every page header; one with long statistics is tried again with more. */
const HEADER_BYTES = 512;
/** Length that a PLAIN value carries in front. */
const LENGTH_BYTES = 4;

/** Whole pages of a column, as much as makes a chunk. */
export interface PageUnit {
  readonly documents: EncodedDocuments;
  /** Bytes of text, as the page headers say. */
  readonly textBytes: number;
  /** Row group and row within it behind the last page; may be the group's end. */
  readonly end: { readonly chunk: ColumnChunk; readonly row: number };
}

export interface PageUnitOptions {
  /** Rows of the first chunk that are not wanted; pages wholly inside are left out. */
  readonly skipRows: number;
  /** Of the file, for messages. */
  readonly name: string;
  /** For the bytes of units. */
  readonly memory: SpareMemory<SharedArrayBuffer>;
}

/** A page on its way into a unit. */
interface FoundPage extends Omit<EncodedPage, 'start' | 'end'> {
  readonly bytes: Uint8Array;
}

/**
 * Gathers pages into units greedily, as `chunkDocuments` does with documents, without decompressing any: a page goes
 * into the current unit unless that would exceed a bound. As every unit begins where the one before ended, reading
 * again from any unit's end finds the same borders.
 *
 * @throws TacoError `corrupt` naming file, row group and byte
 */
export async function* pageUnits(
  metadata: FileMetaData,
  chunks: readonly ColumnChunk[],
  bytes: SequentialBytes,
  { skipRows, name, memory }: PageUnitOptions,
): AsyncGenerator<PageUnit> {
  const [first] = chunks;
  if (first === undefined) return;
  const schemaPath = getSchemaPath(metadata.schema, first.metadata.path_in_schema);
  const unit = new UnitBuilder(name, schemaPath, memory);
  for (const chunk of chunks) {
    const skipped = chunk === first ? skipRows : 0;
    unit.beginGroup();
    let row = 0;
    for await (const page of scanPages(chunk, bytes, name)) {
      if (page.isDictionary) {
        unit.setDictionary(page, page.header);
        continue;
      }
      const numRows = numValuesOf(page.header);
      const skipValues = Math.max(0, skipped - row);
      row += numRows;
      if (row <= skipped) continue;
      const textBytes = unit.textBytesOf(page.header);
      if (!unit.fits(textBytes, numRows)) yield unit.take();
      unit.add({ ...page, skipValues }, { textBytes, numRows, end: { chunk, row } });
    }
  }
  if (!unit.isEmpty) yield unit.take();
}

interface ScannedPage extends Omit<FoundPage, 'skipValues'> {
  readonly header: PageHeader;
  readonly isDictionary: boolean;
}

/** The pages of a column chunk, dictionary first; index pages are left out. */
async function* scanPages(
  chunk: ColumnChunk,
  source: SequentialBytes,
  name: string,
): AsyncGenerator<ScannedPage> {
  const { group, numRows, endByte } = chunk;
  let fileOffset = chunk.startByte;
  let row = 0;
  while (row < numRows) {
    const damaged = (cause: unknown) => damagedPage(name, { group, fileOffset }, cause);
    if (fileOffset >= endByte) throw damaged(new Error(`it ends after ${row} of ${numRows} rows`));
    const { header, headerBytes } = await readHeader(source, fileOffset, chunk, damaged);
    const size = header.compressed_page_size;
    const nextOffset = fileOffset + headerBytes + size;
    if (!(size >= 0 && nextOffset <= endByte)) throw damaged(new Error(`it claims ${size} bytes`));
    if (header.type !== 'INDEX_PAGE') {
      const bytes = await source.take(fileOffset, nextOffset);
      const isDictionary = header.type === 'DICTIONARY_PAGE';
      const firstRow = chunk.firstRow + row;
      yield { group, fileOffset, firstRow, codec: chunk.metadata.codec, bytes, header, isDictionary };
      if (!isDictionary) row += numValuesOf(header);
    }
    fileOffset = nextOffset;
  }
}

async function readHeader(
  source: SequentialBytes,
  position: number,
  { endByte }: ByteRange,
  damaged: (cause: unknown) => Error,
): Promise<{ header: PageHeader; headerBytes: number }> {
  for (let size = HEADER_BYTES; ; size *= 8) {
    const bytes = await source.take(position, Math.min(position + size, endByte));
    const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), offset: 0 };
    try {
      return { header: parquetHeader(reader), headerBytes: reader.offset };
    } catch (error) {
      if (position + size >= endByte) throw damaged(error);
    }
  }
}

interface PageFacts {
  readonly textBytes: number;
  readonly numRows: number;
  readonly end: PageUnit['end'];
}

class UnitBuilder {
  readonly #name: string;
  readonly #schemaPath: EncodedDocuments['schemaPath'];
  readonly #memory: SpareMemory<SharedArrayBuffer>;
  #pages: FoundPage[] = [];
  #numRows = 0;
  #textBytes = 0;
  #end: PageUnit['end'] | undefined;
  /** Of the current row group. */
  #dictionary: FoundPage | undefined;
  #bytesPerDictionaryValue = 0;
  /** Whether the unit holds it already. */
  #hasDictionary = false;

  constructor(
    name: string,
    schemaPath: EncodedDocuments['schemaPath'],
    memory: SpareMemory<SharedArrayBuffer>,
  ) {
    this.#name = name;
    this.#memory = memory;
    // The other columns need not travel to a worker.
    this.#schemaPath = schemaPath.map((node) => ({ ...node, children: [] }));
  }

  get isEmpty(): boolean {
    return this.#pages.length === 0;
  }

  beginGroup(): void {
    this.#dictionary = undefined;
    this.#hasDictionary = false;
  }

  setDictionary(page: ScannedPage, header: PageHeader): void {
    this.#dictionary = { ...page, skipValues: 0 };
    const numValues = header.dictionary_page_header?.num_values ?? 0;
    this.#bytesPerDictionaryValue = plainTextBytes(header, numValues) / Math.max(1, numValues);
  }

  /** Bytes of text in a data page, as far as its header and dictionary tell. */
  textBytesOf(header: PageHeader): number {
    const numValues = numValuesOf(header);
    return isDictionaryEncoded(header)
      ? Math.round(numValues * this.#bytesPerDictionaryValue)
      : plainTextBytes(header, numValues);
  }

  fits(textBytes: number, numRows: number): boolean {
    return (
      this.isEmpty ||
      (this.#textBytes + textBytes <= MAX_CHUNK_BYTES && this.#numRows + numRows <= MAX_CHUNK_DOCUMENTS)
    );
  }

  add(page: ScannedPage & FoundPage, { textBytes, numRows, end }: PageFacts): void {
    if (isDictionaryEncoded(page.header) && !this.#hasDictionary && this.#dictionary !== undefined) {
      this.#pages.push(this.#dictionary);
      this.#hasDictionary = true;
    }
    this.#pages.push(page);
    this.#textBytes += textBytes;
    this.#numRows += numRows;
    this.#end = end;
  }

  take(): PageUnit {
    const numBytes = this.#pages.reduce((sum, page) => sum + page.bytes.length, 0);
    const bytes = new Uint8Array(this.#memory.takeBytes(numBytes), 0, numBytes);
    let start = 0;
    const pages = this.#pages.map(({ group, fileOffset, firstRow, codec, skipValues, bytes: part }) => {
      bytes.set(part, start);
      start += part.length;
      return { group, fileOffset, firstRow, codec, skipValues, start: start - part.length, end: start };
    });
    const documents = {
      kind: 'parquet',
      name: this.#name,
      bytes,
      pages,
      schemaPath: this.#schemaPath,
    } as const;
    const unit = { documents, textBytes: this.#textBytes, end: this.#end! };
    this.#pages = [];
    this.#numRows = 0;
    this.#textBytes = 0;
    this.#hasDictionary = false;
    return unit;
  }
}

function plainTextBytes({ uncompressed_page_size: size }: PageHeader, numValues: number): number {
  return Math.max(0, size - LENGTH_BYTES * numValues);
}

function isDictionaryEncoded({ data_page_header, data_page_header_v2 }: PageHeader): boolean {
  const encoding = (data_page_header ?? data_page_header_v2)?.encoding ?? 'PLAIN';
  return encoding === 'PLAIN_DICTIONARY' || encoding === 'RLE_DICTIONARY';
}
