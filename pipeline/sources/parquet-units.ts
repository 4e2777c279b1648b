import type { PageHeader } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { alignedWith, bytesToSend, type SpareMemory } from '../spare-memory.ts';
import type { EncodedDocuments, EncodedPage } from '../types.ts';
import type { ByteFile } from './byte-file.ts';
import { MAX_CHUNK_BYTES, MAX_CHUNK_DOCUMENTS } from './chunker.ts';
import {
  isDictionaryEncoded,
  isDictionaryPage,
  isStreamed,
  type PageFacts,
  type Pieces,
  readDictionary,
  requireChecksum,
  valuesOf,
} from './large-pages.ts';
import { damagedPage, numValuesOf, PageDecoder, type TextValues } from './parquet-decode.ts';
import { type ByteRange, type ColumnChunk, planRanges } from './parquet-plan.ts';
import { prefetch } from './prefetch.ts';
import type { SequentialBytes } from './sequential-bytes.ts';

/** Enough for nearly every page header; one with long statistics is tried again with more. */
const HEADER_BYTES = 512;
/** Length that a PLAIN value carries in front. */
const LENGTH_BYTES = 4;

/** What comes next of a column, up to a row. */
export type PageUnit = EncodedUnit | DecodedUnit;

interface UnitEnd {
  /** Row group and row within it behind the unit; may be the group's end. */
  readonly end: { readonly chunk: ColumnChunk; readonly row: number };
}

/** Whole pages, as much as makes a chunk. */
export interface EncodedUnit extends UnitEnd {
  readonly kind: 'encoded';
  readonly documents: EncodedDocuments;
  /** Bytes of text, as the page headers say. */
  readonly textBytes: number;
}

/** A page whose values do not wait until all of them are there; to be read before the next unit is asked for. */
export interface DecodedUnit extends UnitEnd {
  readonly kind: 'decoded';
  /** Row within the group of its first value. */
  readonly row: number;
  /** Whether nobody else reads values that fill their buffers. */
  readonly givesAway: boolean;
  /** In order; views are valid until the next are asked for. */
  readonly values: AsyncIterable<TextValues>;
}

/** Where pages come from. */
export interface ColumnFile {
  readonly file: ByteFile;
  readonly schemaPath: EncodedDocuments['schemaPath'];
}

export interface PageUnitOptions {
  /** Rows of the first chunk that are not wanted; pages wholly inside are left out. */
  readonly skipRows: number;
  /** For the bytes of encoded units. */
  readonly memory: SpareMemory<SharedArrayBuffer>;
}

/** A page on its way into a unit. */
interface FoundPage extends Omit<EncodedPage, 'start' | 'end'> {
  readonly bytes: Uint8Array;
}

/**
 * Gathers pages into units greedily, as `chunkDocuments` does with documents, without decompressing any: a page goes
 * into the current unit unless that would exceed a bound. As every unit begins where the one before ended, reading
 * again from any unit's end finds the same borders. A page that is too large for a worker, or has a dictionary that is,
 * is a unit by itself, and decoded here.
 *
 * @param bytes of the chunks, from `file`
 * @throws TacoError `corrupt` naming file, row group and byte; `bad-config` for a page that does not fit into memory
 */
export async function* pageUnits(
  { file, schemaPath }: ColumnFile,
  chunks: readonly ColumnChunk[],
  bytes: SequentialBytes,
  { skipRows, memory }: PageUnitOptions,
): AsyncGenerator<PageUnit> {
  const [first] = chunks;
  if (first === undefined) return;
  const { name } = file;
  const isRequired = schemaPath.at(-1)!.element.repetition_type === 'REQUIRED';
  const unit = new UnitBuilder(name, schemaPath, memory);
  const decoder = new PageDecoder();
  for (const chunk of chunks) {
    const skipped = chunk === first ? skipRows : 0;
    let largeDictionary: readonly Uint8Array[] | undefined;
    unit.beginGroup();
    let row = 0;
    for await (const page of scanPages(chunk, bytes, file)) {
      const { header, pieces } = page;
      if (unit.isEmpty) bytes.letGo(page.fileOffset);
      const facts = { ...page, isRequired };
      if (isDictionaryPage(header)) {
        unit.measureDictionary(header);
        if (isStreamed(facts)) largeDictionary = await readDictionary(facts, pieces());
        // It outlives the unit that it comes with.
        else unit.dictionary = { ...page, bytes: (await page.take()).slice(), skipValues: 0 };
        continue;
      }
      const firstRow = row;
      const numRows = numValuesOf(header);
      row += numRows;
      if (row <= skipped) continue;
      const skipValues = Math.max(0, skipped - firstRow);
      const end = { chunk, row };
      const dictionary = isDictionaryEncoded(header) ? largeDictionary : undefined;
      const isLarge = isStreamed(facts) || dictionary !== undefined;
      if (!isLarge) {
        const textBytes = unit.textBytesOf(header);
        if (!unit.fits(textBytes, numRows)) {
          yield unit.take();
          bytes.letGo(page.fileOffset);
        }
        unit.add({ ...page, bytes: await page.take(), skipValues }, { textBytes, numRows, end, header });
        continue;
      }
      if (!unit.isEmpty) yield unit.take();
      const decoded = { kind: 'decoded', end, row: firstRow + skipValues } as const;
      if (dictionary === undefined) {
        if (header.crc !== undefined) await requireChecksum(facts, header.crc, pieces());
        yield {
          ...decoded,
          givesAway: true,
          values: valuesOf(facts, skipValues, header.crc === undefined ? pieces() : page.again()),
        };
      } else {
        const documents = unit.only({ ...page, bytes: await page.take(), skipValues });
        yield { ...decoded, givesAway: false, values: asyncOf(decoder.decode(documents, dictionary)) };
      }
    }
  }
  if (!unit.isEmpty) yield unit.take();
}

// eslint-disable-next-line @typescript-eslint/require-await
async function* asyncOf<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

interface ScannedPage extends Omit<PageFacts, 'isRequired'> {
  /** The whole page, header included. */
  readonly take: () => Promise<Uint8Array>;
  /** Its body as it comes, once. */
  readonly pieces: () => Pieces;
  /** Its body, read anew. */
  readonly again: () => Pieces;
}

/** The pages of a column chunk, dictionary first; index pages are left out. */
async function* scanPages(
  chunk: ColumnChunk,
  source: SequentialBytes,
  file: ByteFile,
): AsyncGenerator<ScannedPage> {
  const { group, numRows, endByte } = chunk;
  const { name } = file;
  let fileOffset = chunk.startByte;
  let row = 0;
  while (row < numRows) {
    const start = fileOffset;
    const damaged = (cause: unknown) => damagedPage(name, { group, fileOffset: start }, cause);
    if (start >= endByte) throw damaged(new Error(`it ends after ${row} of ${numRows} rows`));
    const { header, headerBytes } = await readHeader(source, start, chunk, damaged);
    const size = header.compressed_page_size;
    const bodyStart = start + headerBytes;
    const end = bodyStart + size;
    if (!(size >= 0 && end <= endByte)) throw damaged(new Error(`it claims ${size} bytes`));
    if (header.type !== 'INDEX_PAGE') {
      const firstRow = chunk.firstRow + row;
      yield {
        ...{ name, group, fileOffset, firstRow, codec: chunk.codec, header },
        take: () => source.take(start, end),
        pieces: () => source.pieces(bodyStart, end),
        again: () =>
          readAhead(
            file,
            planRanges([{ startByte: bodyStart, endByte: end }], { maxRangeBytes: file.maxRangeBytes }),
          ),
      };
      if (!isDictionaryPage(header)) row += numValuesOf(header);
    }
    fileOffset = end;
  }
}

async function* readAhead(file: ByteFile, ranges: readonly ByteRange[]): AsyncGenerator<Uint8Array> {
  yield* prefetch(
    ranges.map(
      ({ startByte, endByte }) =>
        () =>
          file.read(startByte, endByte),
    ),
    2,
  );
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

interface UnitPart extends UnitEnd {
  readonly textBytes: number;
  readonly numRows: number;
  readonly header: PageHeader;
}

class UnitBuilder {
  readonly #name: string;
  readonly #schemaPath: EncodedDocuments['schemaPath'];
  readonly #memory: SpareMemory<SharedArrayBuffer>;
  #pages: FoundPage[] = [];
  #numRows = 0;
  #textBytes = 0;
  #end: UnitEnd['end'] | undefined;
  /** Of the current row group, where its pages carry it. */
  dictionary: FoundPage | undefined;
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
    this.dictionary = undefined;
    this.#hasDictionary = false;
  }

  measureDictionary(header: PageHeader): void {
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

  add(page: FoundPage, { textBytes, numRows, end, header }: UnitPart): void {
    if (isDictionaryEncoded(header) && !this.#hasDictionary && this.dictionary !== undefined) {
      this.#pages.push(this.dictionary);
      this.#hasDictionary = true;
    }
    this.#pages.push(page);
    this.#textBytes += textBytes;
    this.#numRows += numRows;
    this.#end = end;
  }

  take(): EncodedUnit {
    let numBytes = 0;
    const starts = this.#pages.map(({ bytes: { byteOffset, length } }) => {
      const start = alignedWith(byteOffset, numBytes);
      numBytes = start + length;
      return start;
    });
    const bytes = bytesToSend(this.#memory, numBytes);
    const pages = this.#pages.map(
      ({ group, fileOffset, firstRow, codec, skipValues, bytes: part }, index) => {
        const start = starts[index]!;
        bytes.set(part, start);
        return { group, fileOffset, firstRow, codec, skipValues, start, end: start + part.length };
      },
    );
    const schemaPath = this.#schemaPath;
    const documents = { kind: 'parquet', name: this.#name, bytes, pages, schemaPath } as const;
    const unit = { kind: 'encoded', documents, textBytes: this.#textBytes, end: this.#end! } as const;
    this.#pages = [];
    this.#numRows = 0;
    this.#textBytes = 0;
    this.#hasDictionary = false;
    return unit;
  }

  /** A page without its dictionary, for this thread. */
  only({ bytes, ...page }: FoundPage): EncodedDocuments {
    const pages = [{ ...page, start: 0, end: bytes.length }];
    return { kind: 'parquet', name: this.#name, bytes, pages, schemaPath: this.#schemaPath };
  }
}

function plainTextBytes({ uncompressed_page_size: size }: PageHeader, numValues: number): number {
  return Math.max(0, size - LENGTH_BYTES * numValues);
}
