import { crc32, deflateRawSync, gzipSync } from 'node:zlib';

export interface ArchiveFile {
  readonly name: string;
  readonly data: Uint8Array;
  /** Tar only: the target of a symbolic link instead of data. */
  readonly linkTo?: string;
}

/** A zip archive as `zip` and Python's wheels write it; every other file is stored instead of deflated. */
export function makeZip(files: readonly ArchiveFile[]): Buffer {
  const parts: Buffer[] = [];
  const list: Buffer[] = [];
  let offset = 0;
  for (const [index, { name, data }] of files.entries()) {
    const isDeflated = index % 2 === 0;
    const packed = isDeflated ? deflateRawSync(data) : Buffer.from(data);
    const nameBytes = Buffer.from(name);
    const shared = Buffer.alloc(26);
    shared.writeUInt16LE(20, 0);
    shared.writeUInt16LE(isDeflated ? 8 : 0, 4);
    shared.writeUInt32LE(crc32(data), 10);
    shared.writeUInt32LE(packed.length, 14);
    shared.writeUInt32LE(data.length, 18);
    shared.writeUInt16LE(nameBytes.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), shared, nameBytes, packed]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    list.push(Buffer.concat([Buffer.from('PK\x01\x02'), Buffer.from([20, 0]), shared, tail, nameBytes]));
    parts.push(local);
    offset += local.length;
  }
  const listBytes = Buffer.concat(list);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(listBytes.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, listBytes, end]);
}

/** A gzipped ustar archive; names over 100 bytes get a GNU long-name entry. */
export function makeTarGz(files: readonly ArchiveFile[]): Buffer {
  const blocks: Buffer[] = [];
  for (const { name, data, linkTo } of files) {
    if (Buffer.byteLength(name) > 100) {
      const long = Buffer.from(`${name}\0`);
      blocks.push(tarHeader('././@LongLink', long.length, 'L', ''), padded(long));
    }
    const type = linkTo === undefined ? '0' : '2';
    blocks.push(tarHeader(name.slice(0, 100), data.length, type, linkTo ?? ''), padded(data));
  }
  blocks.push(Buffer.alloc(1024));
  return gzipSync(Buffer.concat(blocks));
}

function tarHeader(name: string, bytes: number, type: string, linkTo: string): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0, 100);
  header.write('0000644\0', 100);
  header.write(`${bytes.toString(8).padStart(11, '0')}\0`, 124);
  header.write('        ', 148);
  header.write(type, 156);
  header.write(linkTo, 157);
  header.write('ustar\0', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

function padded(data: Uint8Array): Buffer {
  return Buffer.concat([data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}
