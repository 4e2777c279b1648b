/** The part of parquetjs-lite 0.8.7 that writer.ts uses; the package has no types. */
declare module 'parquetjs-lite' {
  export interface FieldDefinition {
    readonly type?: 'LIST' | 'INT32';
    readonly repeated?: boolean;
    readonly optional?: boolean;
    readonly compression?: 'SNAPPY' | 'UNCOMPRESSED' | 'GZIP';
    /** `false` leaves minimum, maximum and distinct count out. */
    readonly statistics?: boolean;
    readonly fields?: Readonly<Record<string, FieldDefinition>>;
  }

  export class ParquetSchema {
    readonly fieldList: readonly { encoding?: string }[];
    constructor(definition: Readonly<Record<string, FieldDefinition>>);
  }

  /** A data page, header included, as the envelope writer takes it. */
  export interface EncodedPage {
    readonly page: Uint8Array;
    /** Leaf values, for the column's count. */
    readonly num_values: number;
    readonly first_row_index: number;
  }

  export interface RowGroupRecords {
    readonly rowCount: number;
    /** Pages of each leaf column, by its path joined with commas. */
    readonly pages: Readonly<Record<string, readonly EncodedPage[]>>;
  }

  export interface RowGroupMetadata {
    total_byte_size: number;
  }

  export class ParquetEnvelopeWriter {
    constructor(
      schema: ParquetSchema,
      write: (bytes: Buffer) => Promise<void>,
      close: () => Promise<void>,
      fileOffset: number,
      options: { readonly useDataPageV2: boolean; readonly pageIndex: boolean },
    );
    readonly rowGroups: readonly RowGroupMetadata[];
    writeHeader(): Promise<void>;
    writeRowGroup(records: RowGroupRecords): Promise<void>;
    writeFooter(userMetadata: Readonly<Record<string, string>>): Promise<void>;
  }
}

declare module 'parquetjs-lite/gen-nodejs/parquet_types.js' {
  /** Thrift structures of the Parquet format: fields are assigned after construction. */
  export class PageHeader {
    type: number;
    uncompressed_page_size: number;
    compressed_page_size: number;
    /** CRC-32 of what follows the header, as stored. */
    crc: number;
    data_page_header_v2: DataPageHeaderV2;
  }
  export class DataPageHeaderV2 {
    num_values: number;
    num_nulls: number;
    num_rows: number;
    encoding: number;
    definition_levels_byte_length: number;
    repetition_levels_byte_length: number;
    is_compressed: boolean;
  }
  export const PageType: { readonly DATA_PAGE_V2: number };
  export const Encoding: { readonly DELTA_BINARY_PACKED: number };
}

declare module 'parquetjs-lite/lib/util.js' {
  import type { PageHeader } from 'parquetjs-lite/gen-nodejs/parquet_types.js';
  export function serializeThrift(structure: PageHeader): Buffer;
}
