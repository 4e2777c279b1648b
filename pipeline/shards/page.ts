import { endianness } from 'node:os';
import { crc32 } from 'node:zlib';
import type { EncodedPage } from 'parquetjs-lite';
import parquetTypes from 'parquetjs-lite/gen-nodejs/parquet_types.js';
import { deflate } from 'parquetjs-lite/lib/compression.js';
import { serializeThrift } from 'parquetjs-lite/lib/util.js';

/*
 * A column of lists of equal length needs no shredding: its levels follow from the two lengths, and its values
 * are the array's own bytes. parquetjs-lite's own way, value by value, is some ten times slower.
 */

/** A page and what it would be without compression, header included. */
export interface ListPage extends EncodedPage {
  readonly uncompressedBytes: number;
}

/**
 * Encodes rows of equal length as one data page (format version 2, Snappy) of a
 * `required group (LIST) { repeated group list { required int32 element } }`.
 * @param ids [numRows * rowLength]
 */
export function encodeListPage(ids: Int32Array<ArrayBuffer>, numRows: number): ListPage {
  const repetition = repetitionLevels(numRows, ids.length / numRows);
  // No list is empty and no element null: every definition level is 1.
  const definition = Buffer.from([...varint(ids.length << 1), 1]);
  const plain = littleEndianBytes(ids);
  const values = deflate('SNAPPY', plain);

  const header = new parquetTypes.PageHeader();
  const levelsBytes = repetition.length + definition.length;
  header.type = parquetTypes.PageType.DATA_PAGE_V2;
  header.uncompressed_page_size = levelsBytes + plain.length;
  header.compressed_page_size = levelsBytes + values.length;
  const details = new parquetTypes.DataPageHeaderV2();
  details.num_values = ids.length;
  details.num_nulls = 0;
  details.num_rows = numRows;
  details.encoding = parquetTypes.Encoding.PLAIN;
  details.definition_levels_byte_length = definition.length;
  details.repetition_levels_byte_length = repetition.length;
  details.is_compressed = true;
  header.data_page_header_v2 = details;

  const body = Buffer.concat([repetition, definition, values]);
  header.crc = crc32(body) | 0; // thrift has signed integers only

  const headerBytes = serializeThrift(header);
  return {
    page: Buffer.concat([headerBytes, body]),
    num_values: ids.length,
    first_row_index: 0,
    uncompressedBytes: headerBytes.length + levelsBytes + plain.length,
  };
}

/** A 0 begins each row and 1 goes on with it: two runs a row in the RLE hybrid encoding, bit width 1. */
function repetitionLevels(numRows: number, rowLength: number): Buffer {
  const row = [...varint(1 << 1), 0, ...(rowLength > 1 ? [...varint((rowLength - 1) << 1), 1] : [])];
  return Buffer.alloc(row.length * numRows, Buffer.from(row));
}

/** Unsigned LEB128, below 2^31. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return bytes;
}

function littleEndianBytes(ids: Int32Array<ArrayBuffer>): Buffer {
  const bytes = Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength);
  return endianness() === 'LE' ? bytes : Buffer.from(bytes).swap32();
}
