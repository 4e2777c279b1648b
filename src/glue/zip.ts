import { crc32, deflateRawSync } from 'node:zlib';

export interface ZipEntry {
  /** ASCII, as GLUE's file names are. */
  readonly name: string;
  readonly data: Uint8Array;
}

/** Shared by the record before each file and by the list at the end (PKWARE's APPNOTE 6.3, 4.3.7 and 4.3.12). */
const SHARED_BYTES = 26;
const VERSION = 20;
const DEFLATED = 8;
/** 1 January 1980, the earliest that the format knows: the same files give the same bytes. */
const DATE = (1 << 5) | 1;

/** A zip archive of a few files, deflated; no folders, nothing beyond 4 GiB. */
export function zipOf(entries: readonly ZipEntry[]): Buffer {
  const files: Buffer[] = [];
  const list: Buffer[] = [];
  let offset = 0;
  for (const { name, data } of entries) {
    const packed = deflateRawSync(data);
    const nameBytes = Buffer.from(name, 'latin1');
    const shared = Buffer.alloc(SHARED_BYTES);
    shared.writeUInt16LE(VERSION, 0);
    shared.writeUInt16LE(DEFLATED, 4);
    shared.writeUInt16LE(DATE, 8);
    shared.writeUInt32LE(crc32(data), 10);
    shared.writeUInt32LE(packed.length, 14);
    shared.writeUInt32LE(data.length, 18);
    shared.writeUInt16LE(nameBytes.length, 22);
    const file = Buffer.concat([signature(3, 4), shared, nameBytes, packed]);
    const place = Buffer.alloc(14);
    place.writeUInt32LE(offset, 10);
    list.push(signature(1, 2), Buffer.from([VERSION, 0]), shared, place, nameBytes);
    files.push(file);
    offset += file.length;
  }
  const listBytes = Buffer.concat(list);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(entries.length, 4);
  end.writeUInt16LE(entries.length, 6);
  end.writeUInt32LE(listBytes.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...files, listBytes, signature(5, 6), end]);
}

function signature(first: number, second: number): Buffer {
  return Buffer.from([0x50, 0x4b, first, second]);
}
