import { crc32 } from 'node:zlib';
import { encodeDelta } from './delta.ts';
import { pageHeader, varint } from './page-header.ts';

/** `Encoding` of the format. */
const DELTA_BINARY_PACKED = 5;

/*
 * A column of lists of equal length needs no shredding: its levels follow from the two lengths. parquetjs-lite's own
 * way, value by value, is some ten times slower.
 */

/** Rows of equal length. */
export interface ListRows {
  /** [rows * row length] */
  readonly ids: Int32Array<ArrayBuffer>;
  readonly rows: number;
}

/** Pages with their headers, one after another in a buffer of their own. */
export interface ListPages {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** [num pages] exclusive end of each in `bytes`. */
  readonly ends: readonly number[];
}

/**
 * Encodes each group of rows as one data page (format version 2, DELTA_BINARY_PACKED, no codec) of a
 * `required group (LIST) { repeated group list { required int32 element } }`.
 * @param spare memory for the pages, used if it is large enough
 */
export function encodeListPages(groups: readonly ListRows[], spare?: ArrayBuffer): ListPages {
  let memory = spare ?? new ArrayBuffer(0);
  const ends: number[] = [];
  let end = 0;
  for (const { ids, rows } of groups) {
    const content = { numRows: rows, numValues: ids.length, encoding: DELTA_BINARY_PACKED };
    const page = dataPage(
      { ...content, ...listLevels(ids.length, rows), values: encodeDelta(ids) },
      (numBytes) => {
        if (memory.byteLength < end + numBytes) {
          // The others will be about as large.
          const larger = new Uint8Array(roomFor(end + numBytes * (groups.length - ends.length)));
          larger.set(new Uint8Array(memory, 0, end));
          memory = larger.buffer;
        }
        return new Uint8Array(memory, end, numBytes);
      },
    );
    end += page.length;
    ends.push(end);
  }
  return { bytes: new Uint8Array(memory, 0, end), ends };
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
 * @param placeFor gives so many bytes of memory for the page
 */
export function dataPage(
  { numRows, numValues, repetition, definition, values, encoding }: PageContent,
  placeFor: (numBytes: number) => Uint8Array<ArrayBuffer> = (numBytes) => new Uint8Array(numBytes),
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
  const parts = [headerBytes, repetition, definition, values];
  const page = placeFor(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    page.set(part, at);
    at += part.length;
  }
  return page;
}

/** Pages of a shard differ by a few bytes: with some room at its end the memory of some suits the next. */
function roomFor(numBytes: number): number {
  return Math.ceil(numBytes / 65_536) * 65_536 + 65_536;
}

/** A 0 begins each row and 1 goes on with it: two runs a row in the RLE hybrid encoding, bit width 1. */
function repetitionLevels(numRows: number, rowLength: number): Buffer {
  const row = [...varint(1 << 1), 0, ...(rowLength > 1 ? [...varint((rowLength - 1) << 1), 1] : [])];
  return Buffer.alloc(row.length * numRows, Buffer.from(row));
}
