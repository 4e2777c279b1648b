import { type FileMetaData, parquetMetadataAsync, type SchemaTree } from 'hyparquet';
import { getSchemaPath } from 'hyparquet/src/schema.js';
import { messageOf, TacoError } from '../errors.ts';
import { sharedMemory, SpareMemory } from '../spare-memory.ts';
import type { SourceCursor } from '../types.ts';
import type { ByteFile } from './byte-file.ts';
import { chunkDocuments, type DocumentBatch, MAX_CHUNKS_UNDER_WAY } from './chunker.ts';
import { type ColumnChunk, columnChunks, planRanges } from './parquet-plan.ts';
import { type DecodedUnit, pageUnits } from './parquet-units.ts';
import { prefetch } from './prefetch.ts';
import { SequentialBytes } from './sequential-bytes.ts';
import type { SourceChunk } from './source.ts';

/** One read of a file's end nearly always holds its whole footer. */
const TAIL_BYTES = 512 * 1024;
/** Ranges in flight or waiting: a few round trips ahead, within some 30 MB. */
const READ_AHEAD = 3;
/** Ranges whose memory comes back at once, at the end of a file: those, and the two that pages may lie across. */
export const MAX_SPARE_RANGES = READ_AHEAD + 2;

/** What a footer says about the column that is read. */
export interface ParquetFacts {
  /** Schema elements from the root to the column. */
  readonly schemaPath: readonly SchemaTree[];
  readonly chunks: readonly ColumnChunk[];
  readonly numRows: number;
}

/** A Parquet file whose footer has been read. */
export interface ParquetFile extends ParquetFacts {
  readonly file: ByteFile;
}

export interface ParquetReadOptions {
  /** Sizes of the source's files, in order. */
  readonly sizesBytes: readonly number[];
  /** Opens the file at an index; called once for each file that is read, one file ahead of its use. */
  open(index: number): Promise<ParquetFile>;
}

/**
 * Reads a file's footer: one request, a second only when the metadata is longer than 512 KiB. The file is the result's
 * to close, and closed where this fails.
 * @throws TacoError `corrupt` when it is no Parquet, `not-found` when the column is missing
 */
export async function openParquet(file: ByteFile, column: string): Promise<ParquetFile> {
  try {
    return await withFooter(file, column);
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function withFooter(file: ByteFile, column: string): Promise<ParquetFile> {
  // Asking a near file twice costs less than keeping its end.
  const kept = file.maxRangeBytes === undefined ? withTail(file) : file;
  const footerBytes = async (start: number, end = file.sizeBytes): Promise<ArrayBuffer> => {
    const bytes = await kept.read(start, end);
    const { buffer } = bytes.slice();
    kept.recycle?.(bytes);
    return buffer;
  };
  let metadata: FileMetaData;
  try {
    if (file.sizeBytes < 12) throw new Error(`it has ${file.sizeBytes} bytes`);
    metadata = await parquetMetadataAsync(
      { byteLength: file.sizeBytes, slice: footerBytes },
      { initialFetchSize: TAIL_BYTES, geoparquet: false },
    );
  } catch (error) {
    if (error instanceof TacoError) throw error;
    throw brokenParquet(file, error);
  }
  const chunks = columnChunks(metadata, column, file.name);
  // Of a group without rows some writers leave the offsets 0.
  const beyond = chunks.find(
    ({ numRows, startByte, endByte }) => numRows > 0 && (startByte < 4 || endByte > file.sizeBytes - 8),
  );
  if (beyond !== undefined) {
    throw new TacoError(
      `${file.name} is not a whole Parquet file (row group ${beyond.group} should lie at bytes ${beyond.startByte} to ${beyond.endByte} of ${file.sizeBytes}); fetch it again`,
      { code: 'corrupt', stage: 'source', path: file.name },
    );
  }
  const schemaPath = getSchemaPath(metadata.schema, [column]);
  return { file: kept, schemaPath, chunks, numRows: Number(metadata.num_rows) };
}

/** Of a file whose bytes are not those of a Parquet file. */
export function brokenParquet({ name }: ByteFile, cause: unknown): TacoError {
  return new TacoError(`${name} is not a whole Parquet file (${messageOf(cause)}); fetch it again`, {
    code: 'corrupt',
    stage: 'source',
    path: name,
    cause,
  });
}

/** Keeps the end of the file that the footer came from: a small file is then read by this one request. */
function withTail(file: ByteFile): ByteFile {
  const tailStart = Math.max(0, file.sizeBytes - TAIL_BYTES);
  let tail: Uint8Array<ArrayBuffer> | undefined;
  return {
    name: file.name,
    sizeBytes: file.sizeBytes,
    close: () => file.close(),
    async read(start, end) {
      if (end <= tailStart || (start < tailStart && tail === undefined)) return file.read(start, end);
      tail ??= await file.read(tailStart, file.sizeBytes);
      if (start >= tailStart) return tail.slice(start - tailStart, end - tailStart);
      const bytes = new Uint8Array(end - start);
      bytes.set(await file.read(start, tailStart));
      bytes.set(tail.subarray(0, end - tailStart), tailStart - start);
      return bytes;
    },
  };
}

/** Documents of a list of Parquet files from a cursor on, as pages still to be decoded. */
export async function* readParquetFiles(
  options: ParquetReadOptions,
  from: SourceCursor,
): AsyncGenerator<SourceChunk> {
  const { sizesBytes } = options;
  const memory = new SpareMemory(sharedMemory, MAX_CHUNKS_UNDER_WAY);
  let ahead = from.file < sizesBytes.length ? openAhead(options, from.file) : undefined;
  let bytesBefore = sizesBytes.slice(0, from.file).reduce((sum, size) => sum + size, 0);
  try {
    for (let index = from.file; ahead !== undefined; index++) {
      const parquet: ParquetFile = await ahead;
      ahead = undefined;
      const cursor = index === from.file ? from : { file: index, group: 0, row: 0 };
      const openNext = (): void => {
        if (index + 1 < sizesBytes.length) ahead ??= openAhead(options, index + 1);
      };
      try {
        yield* readFile(parquet, cursor, { bytesBefore, openNext, memory });
      } finally {
        await parquet.file.close();
      }
      openNext();
      bytesBefore += sizesBytes[index]!;
    }
  } finally {
    await ahead?.then(({ file }) => file.close()).catch(() => undefined);
  }
}

function openAhead(options: ParquetReadOptions, index: number): Promise<ParquetFile> {
  const opening = options.open(index);
  opening.catch(() => undefined);
  return opening;
}

interface ReadFileOptions {
  readonly bytesBefore: number;
  /** Called when the last ranges are being read. */
  readonly openNext: () => void;
  /** For the pages of chunks. */
  readonly memory: SpareMemory<SharedArrayBuffer>;
}

async function* readFile(
  parquet: ParquetFile,
  from: SourceCursor,
  { bytesBefore, openNext, memory }: ReadFileOptions,
): AsyncGenerator<SourceChunk> {
  const { file } = parquet;
  const chunks = parquet.chunks.slice(from.group);
  const ranges = planRanges(chunks, { maxRangeBytes: file.maxRangeBytes });
  const segments = prefetch(
    (function* () {
      for (const [index, range] of ranges.entries()) {
        yield async () => {
          if (index + READ_AHEAD >= ranges.length) openNext();
          return { range, bytes: await file.read(range.startByte, range.endByte) };
        };
      }
    })(),
    READ_AHEAD,
  );
  const bytes = new SequentialBytes(segments, (read) => file.recycle?.(read));
  try {
    const place = (chunk: ColumnChunk, row: number) => ({
      next: cursorAt(parquet, from.file, chunk, row),
      inputBytes: bytesBefore + Math.floor((file.sizeBytes * (chunk.firstRow + row)) / parquet.numRows),
    });
    const reuse = (used: SharedArrayBuffer): void => {
      memory.give(used);
    };
    for await (const unit of pageUnits(parquet, chunks, bytes, { skipRows: from.row, memory })) {
      const { chunk, row } = unit.end;
      const { next, inputBytes } = place(chunk, row);
      if (unit.kind === 'encoded') {
        const { documents, textBytes } = unit;
        yield { documents, textBytes, reuse, next, inputBytes };
      } else {
        const batches = documentBatches(unit, (at) => place(chunk, at));
        yield* chunkDocuments(batches, { cursor: next, totalBytes: inputBytes }, memory);
      }
    }
  } finally {
    bytes.letGo(Number.POSITIVE_INFINITY);
    await segments.return(undefined);
  }
}

async function* documentBatches(
  { row: firstRow, givesAway, values }: DecodedUnit,
  place: (row: number) => Pick<SourceChunk, 'next' | 'inputBytes'>,
): AsyncGenerator<DocumentBatch> {
  let row = firstRow;
  for await (const documents of values) {
    const start = row;
    yield {
      documents,
      givesAway,
      cursorAfter: (count) => place(start + count).next,
      inputBytesAfter: (count) => place(start + count).inputBytes,
    };
    row += documents.length;
  }
}

/** The cursor behind `row` rows of a group; the end of a group is the beginning of the next. */
function cursorAt(parquet: ParquetFile, file: number, chunk: ColumnChunk, row: number): SourceCursor {
  if (row < chunk.numRows) return { file, group: chunk.group, row };
  if (chunk.group + 1 < parquet.chunks.length) return { file, group: chunk.group + 1, row: 0 };
  return { file: file + 1, group: 0, row: 0 };
}
