import { crc32 } from 'node:zlib';
import parquetTypes from 'parquetjs-lite/gen-nodejs/parquet_types.js';
import { serializeThrift } from 'parquetjs-lite/lib/util.js';
import { deltaBound, encodeDelta } from './delta.ts';

/*
 * A column of lists of equal length needs no shredding: its levels follow from the two lengths. parquetjs-lite's own
 * way, value by value, is some ten times slower.
 */

/**
 * Encodes rows of equal length as one data page (format version 2, DELTA_BINARY_PACKED, no codec) of a
 * `required group (LIST) { repeated group list { required int32 element } }`.
 * @param ids [numRows * rowLength]
 * @param spare memory for the page, used if it is large enough
 * @returns the page with its header, in a buffer of its own
 */
export function encodeListPage(
  ids: Int32Array,
  numRows: number,
  spare?: ArrayBuffer,
): Uint8Array<ArrayBuffer> {
  const repetition = repetitionLevels(numRows, ids.length / numRows);
  // No list is empty and no element null: every definition level is 1.
  const definition = Buffer.from([...varint(ids.length << 1), 1]);
  if (scratch.length < deltaBound(ids.length)) scratch = new Uint8Array(deltaBound(ids.length));
  const values = encodeDelta(ids, scratch);
  const levelsBytes = repetition.length + definition.length;
  const bodyBytes = levelsBytes + values.length;

  const header = new parquetTypes.PageHeader();
  header.type = parquetTypes.PageType.DATA_PAGE_V2;
  header.uncompressed_page_size = bodyBytes;
  header.compressed_page_size = bodyBytes;
  // Thrift has signed integers only.
  header.crc = crc32(values, crc32(definition, crc32(repetition))) | 0;
  const details = new parquetTypes.DataPageHeaderV2();
  details.num_values = ids.length;
  details.num_nulls = 0;
  details.num_rows = numRows;
  details.encoding = parquetTypes.Encoding.DELTA_BINARY_PACKED;
  details.definition_levels_byte_length = definition.length;
  details.repetition_levels_byte_length = repetition.length;
  details.is_compressed = false;
  header.data_page_header_v2 = details;

  const headerBytes = serializeThrift(header);
  const pageBytes = headerBytes.length + bodyBytes;
  const fits = spare !== undefined && spare.byteLength >= pageBytes;
  const page = new Uint8Array(fits ? spare : new ArrayBuffer(roomFor(pageBytes)), 0, pageBytes);
  let at = 0;
  for (const part of [headerBytes, repetition, definition, values]) {
    page.set(part, at);
    at += part.length;
  }
  return page;
}

/** Pages of a shard differ by a few bytes: with some room at its end the memory of one suits the next. */
function roomFor(pageBytes: number): number {
  return Math.ceil(pageBytes / 4096) * 4096 + 4096;
}

/** Kept from call to call: fresh memory for every page costs as much as the encoding. */
let scratch = new Uint8Array(0);

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
