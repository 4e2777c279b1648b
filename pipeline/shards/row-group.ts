import parquetTypes from 'parquetjs-lite/gen-nodejs/parquet_types.js';

/** A column of a row group that is one page without a codec. */
export interface ColumnFacts {
  readonly type: number;
  readonly encodings: readonly number[];
  readonly path: readonly string[];
  readonly numValues: number;
  /** Of the page with its header. */
  readonly pageBytes: number;
  /** Of the page in the file. */
  readonly offset: number;
}

/** Metadata of a row group for the file's footer. */
export function rowGroup(numRows: number, columns: readonly ColumnFacts[]): parquetTypes.RowGroup {
  const group = new parquetTypes.RowGroup();
  group.columns = columns.map(chunkOf);
  group.total_byte_size = columns.reduce((sum, { pageBytes }) => sum + pageBytes, 0);
  group.num_rows = numRows;
  return group;
}

function chunkOf({
  type,
  encodings,
  path,
  numValues,
  pageBytes,
  offset,
}: ColumnFacts): parquetTypes.ColumnChunk {
  const metadata = new parquetTypes.ColumnMetaData();
  metadata.type = type;
  metadata.encodings = encodings;
  metadata.path_in_schema = path;
  metadata.codec = parquetTypes.CompressionCodec.UNCOMPRESSED;
  metadata.num_values = numValues;
  metadata.total_uncompressed_size = pageBytes;
  metadata.total_compressed_size = pageBytes;
  metadata.data_page_offset = offset;
  const column = new parquetTypes.ColumnChunk();
  column.file_offset = 0; // no copy of the metadata outside the footer
  column.meta_data = metadata;
  return column;
}
