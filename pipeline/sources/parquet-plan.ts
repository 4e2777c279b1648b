import type { ColumnMetaData, CompressionCodec, FileMetaData } from 'hyparquet';
import { parquetSchema } from 'hyparquet';
import { TacoError } from '../errors.ts';

/** [startByte, endByte) of a file. */
export interface ByteRange {
  readonly startByte: number;
  readonly endByte: number;
}

/** Where the text of one row group lies. */
export interface ColumnChunk extends ByteRange {
  readonly group: number;
  readonly codec: CompressionCodec;
  readonly numRows: number;
  /** Rows of the file before this group. */
  readonly firstRow: number;
}

/** Distances small enough that one request for both sides costs less than two. */
const MAX_GAP_BYTES = 64 * 1024;
/** One request: long enough to hide its latency, short enough to repeat and to hold several in memory. */
const MAX_RANGE_BYTES = 8 * 1024 * 1024;

/**
 * The chunks of one text column.
 * @throws TacoError `not-found` listing the columns there are; `bad-config` when it holds no text
 */
export function columnChunks(metadata: FileMetaData, column: string, name: string): readonly ColumnChunk[] {
  const columns = parquetSchema(metadata).children;
  const found = columns.find((node) => node.element.name === column);
  if (found === undefined) {
    const names = columns.map((node) => node.element.name).join(', ');
    throw new TacoError(`${name} has no column ${column}; its columns are ${names}: name one with #column`, {
      code: 'not-found',
      stage: 'source',
      path: name,
    });
  }
  const { type, repetition_type: repetition } = found.element;
  if (type !== 'BYTE_ARRAY' || repetition === 'REPEATED' || found.children.length > 0) {
    const texts = columns
      .filter((node) => node.element.type === 'BYTE_ARRAY')
      .map((node) => node.element.name);
    throw new TacoError(
      `column ${column} of ${name} holds ${type ?? 'nested values'}, expected text` +
        (texts.length === 0 ? '' : `; columns with text: ${texts.join(', ')}`),
      { code: 'bad-config', stage: 'source', path: name },
    );
  }
  let firstRow = 0;
  return metadata.row_groups.map((rowGroup, group) => {
    const chunk = rowGroup.columns.find(
      ({ meta_data: meta }) => meta?.path_in_schema[0] === column,
    )?.meta_data;
    if (chunk === undefined) {
      throw new TacoError(`row group ${group} of ${name} lacks column ${column}; the file is damaged`, {
        code: 'corrupt',
        stage: 'source',
        path: name,
      });
    }
    const startByte = firstPageOffset(chunk);
    const numRows = Number(rowGroup.num_rows);
    firstRow += numRows;
    return {
      group,
      codec: chunk.codec,
      numRows,
      firstRow: firstRow - numRows,
      startByte,
      endByte: startByte + Number(chunk.total_compressed_size),
    };
  });
}

/** Some writers leave a meaningless dictionary offset where there is no dictionary. */
function firstPageOffset(chunk: ColumnMetaData): number {
  const data = Number(chunk.data_page_offset);
  const dictionary = Number(chunk.dictionary_page_offset ?? 0n);
  return dictionary > 0 && dictionary < data ? dictionary : data;
}

export interface RangeBounds {
  readonly maxGapBytes?: number | undefined;
  readonly maxRangeBytes?: number | undefined;
}

/**
 * Ranges to request, in order, that cover all chunks: neighbours are joined, long ones are cut.
 * @param chunks ascending and disjoint
 */
export function planRanges(
  chunks: readonly ByteRange[],
  { maxGapBytes = MAX_GAP_BYTES, maxRangeBytes = MAX_RANGE_BYTES }: RangeBounds = {},
): readonly ByteRange[] {
  const ranges: ByteRange[] = [];
  for (const { startByte, endByte } of chunks) {
    if (endByte === startByte) continue;
    const last = ranges.at(-1);
    if (
      last !== undefined &&
      startByte >= last.endByte &&
      startByte - last.endByte <= maxGapBytes &&
      endByte - last.startByte <= maxRangeBytes
    ) {
      ranges[ranges.length - 1] = { startByte: last.startByte, endByte };
      continue;
    }
    const numParts = Math.ceil((endByte - startByte) / maxRangeBytes);
    const partBytes = Math.ceil((endByte - startByte) / numParts);
    for (let start = startByte; start < endByte; start += partBytes) {
      ranges.push({ startByte: start, endByte: Math.min(start + partBytes, endByte) });
    }
  }
  return ranges;
}
