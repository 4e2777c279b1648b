/** The part of parquetjs-lite 0.8.7 that the writers use; the package has no types. */
declare module 'parquetjs-lite' {
  import type { RowGroup } from 'parquetjs-lite/gen-nodejs/parquet_types.js';

  export interface FieldDefinition {
    readonly type?: 'LIST' | 'INT32' | 'FLOAT' | 'UTF8';
    readonly repeated?: boolean;
    readonly optional?: boolean;
    readonly compression?: 'SNAPPY' | 'UNCOMPRESSED' | 'GZIP';
    /** `false` leaves minimum, maximum and distinct count out. */
    readonly statistics?: boolean;
    readonly fields?: Readonly<Record<string, FieldDefinition>>;
  }

  export class ParquetSchema {
    readonly fieldList: readonly object[];
    constructor(definition: Readonly<Record<string, FieldDefinition>>);
  }

  export class ParquetEnvelopeWriter {
    constructor(
      schema: ParquetSchema,
      write: (bytes: Uint8Array) => Promise<void>,
      close: () => Promise<void>,
      fileOffset: number,
      options: { readonly useDataPageV2: boolean; readonly pageIndex: boolean },
    );
    /** Bytes written so far. */
    readonly offset: number;
    rowCount: number;
    readonly rowGroups: RowGroup[];
    writeHeader(): Promise<void>;
    /** Writes bytes and counts them. */
    writeSection(bytes: Uint8Array): Promise<void>;
    writeFooter(userMetadata: Readonly<Record<string, string>>): Promise<void>;
  }
}

declare module 'parquetjs-lite/gen-nodejs/parquet_types.js' {
  /** Thrift structures of the Parquet format: fields are assigned after construction. */
  export class RowGroup {
    columns: ColumnChunk[];
    total_byte_size: number;
    num_rows: number;
  }
  export class ColumnChunk {
    file_offset: number;
    meta_data: ColumnMetaData;
  }
  export class ColumnMetaData {
    type: number;
    encodings: readonly number[];
    path_in_schema: readonly string[];
    codec: number;
    num_values: number;
    total_uncompressed_size: number;
    total_compressed_size: number;
    data_page_offset: number;
  }
  export const Encoding: {
    readonly PLAIN: number;
    readonly DELTA_BINARY_PACKED: number;
    readonly RLE: number;
  };
  export const CompressionCodec: { readonly UNCOMPRESSED: number };
  export const Type: { readonly INT32: number; readonly FLOAT: number; readonly BYTE_ARRAY: number };
}
