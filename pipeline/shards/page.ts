import { crc32 } from 'node:zlib';
import { deltaBound, encodeDelta } from './delta.ts';
import { pageHeader, varint } from './page-header.ts';

/** `Encoding` of the format. */
const DELTA_BINARY_PACKED = 5;

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
  if (scratch.length < deltaBound(ids.length)) scratch = new Uint8Array(deltaBound(ids.length));
  const content = { numRows, numValues: ids.length, encoding: DELTA_BINARY_PACKED };
  return dataPage(
    { ...content, ...listLevels(ids.length, numRows), values: encodeDelta(ids, scratch) },
    spare,
  );
}

/** What a data page holds. */
export interface PageContent {
  readonly numRows: number;
  readonly numValues: number;
  /** Levels in the RLE hybrid encoding; empty where a column has none. */
  readonly repetition: Uint8Array;
  readonly definition: Uint8Array;
  /** As `encoding` says. */
  readonly values: Uint8Array;
  readonly encoding: number;
}

/** Levels of lists of equal length, none of them empty, no element null: every definition level is 1. */
export function listLevels(
  numValues: number,
  numRows: number,
): Pick<PageContent, 'repetition' | 'definition'> {
  return {
    repetition: repetitionLevels(numRows, numValues / numRows),
    definition: Buffer.from([...varint(numValues << 1), 1]),
  };
}

/**
 * A data page of format version 2 without codec, with its header and a checksum.
 * @param spare memory for the page, used if it is large enough
 */
export function dataPage(
  { numRows, numValues, repetition, definition, values, encoding }: PageContent,
  spare?: ArrayBuffer,
): Uint8Array<ArrayBuffer> {
  const headerBytes = pageHeader({
    numRows,
    numValues,
    encoding,
    repetitionBytes: repetition.length,
    definitionBytes: definition.length,
    valuesBytes: values.length,
    crc: crc32(values, crc32(definition, crc32(repetition))),
  });
  const pageBytes = headerBytes.length + repetition.length + definition.length + values.length;
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
