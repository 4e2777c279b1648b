/** What the header of a data page of format version 2 without codec says. */
export interface PageFacts {
  readonly numRows: number;
  readonly numValues: number;
  /** As `Encoding` of the format. */
  readonly encoding: number;
  readonly repetitionBytes: number;
  readonly definitionBytes: number;
  readonly valuesBytes: number;
  /** CRC-32 of what follows the header. */
  readonly crc: number;
}

/** `PageType` of the format. */
const DATA_PAGE_V2 = 3;

/** Types of Thrift's compact protocol. */
const FALSE = 2;
const I32 = 5;
const STRUCT = 12;
const STOP = 0;

/**
 * The format's `PageHeader` in Thrift's compact protocol: a field is its distance from the one before it with its type in a
 * byte, then its value. Written by hand because parquetjs-lite's generated code is half of what a worker thread would load.
 */
export function pageHeader(facts: PageFacts): Uint8Array {
  const { numRows, numValues, encoding, repetitionBytes, definitionBytes, valuesBytes, crc } = facts;
  const bodyBytes = repetitionBytes + definitionBytes + valuesBytes;
  return Uint8Array.from([
    // type, uncompressed_page_size, compressed_page_size, crc
    ...[DATA_PAGE_V2, bodyBytes, bodyBytes, crc].flatMap(nextField),
    // data_page_header_v2 is four fields further on.
    (4 << 4) | STRUCT,
    // num_values, num_nulls, num_rows, encoding, definition_levels_byte_length, repetition_levels_byte_length
    ...[numValues, 0, numRows, encoding, definitionBytes, repetitionBytes].flatMap(nextField),
    // is_compressed: a truth is a type.
    (1 << 4) | FALSE,
    STOP,
    STOP,
  ]);
}

/** A number as the field that follows the last one. */
function nextField(value: number): number[] {
  // Thrift has signed integers only, of which small ones of both signs are short.
  const signed = value | 0;
  return [(1 << 4) | I32, ...varint(((signed << 1) ^ (signed >> 31)) >>> 0)];
}

/** Unsigned LEB128, below 2^32. */
export function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return bytes;
}
