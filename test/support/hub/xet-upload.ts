import { decompressLz4Frame } from './lz4.ts';

/**
 * What Xet clients upload, read as its server reads it: xorbs of compressed chunks, and shards that say which
 * chunks of which xorbs make up a file.
 */

const HEADER_BYTES = 48;
const HASH_BYTES = 32;
const ENTRY_BYTES = 48;
const WITH_VERIFICATION = 0x8000_0000;
const WITH_METADATA = 0x4000_0000;

export interface UploadedFile {
  /** As the client states it. */
  readonly sha256: string;
  readonly bytes: Buffer;
}

/** The files that a shard describes, put together from their xorbs. */
export function fileOfShard(
  shard: Buffer,
  xorbOf: (hash: string) => Buffer | undefined,
): readonly UploadedFile[] {
  const files: UploadedFile[] = [];
  const chunks = new Map<string, readonly Buffer[]>();
  let offset = HEADER_BYTES;
  while (!shard.subarray(offset, offset + HASH_BYTES).every((byte) => byte === 0xff)) {
    const flags = shard.readUInt32LE(offset + HASH_BYTES);
    const numTerms = shard.readUInt32LE(offset + HASH_BYTES + 4);
    offset += ENTRY_BYTES;
    const parts: Buffer[] = [];
    for (let term = 0; term < numTerms; term += 1, offset += ENTRY_BYTES) {
      const hash = hashAt(shard, offset);
      const xorb = xorbOf(hash);
      if (xorb === undefined) throw new Error(`the shard names xorb ${hash}, which was not uploaded`);
      if (!chunks.has(hash)) chunks.set(hash, chunksOf(xorb));
      const [length, start, end] = [8, 4, 0].map((back) =>
        shard.readUInt32LE(offset + ENTRY_BYTES - 4 - back),
      ) as [number, number, number];
      const part = Buffer.concat(chunks.get(hash)!.slice(start, end));
      if (part.length !== length) throw new Error(`a term has ${part.length} bytes, expected ${length}`);
      parts.push(part);
    }
    // The flag is the sign bit: bitwise operators would give a negative number.
    if (flags >= WITH_VERIFICATION) offset += numTerms * ENTRY_BYTES;
    if (flags % WITH_VERIFICATION < WITH_METADATA) throw new Error('the shard names no sha256');
    files.push({ sha256: hashAt(shard, offset), bytes: Buffer.concat(parts) });
    offset += ENTRY_BYTES;
  }
  return files;
}

/** Hashes are written as four little-endian words of 64 bits. */
function hashAt(bytes: Buffer, offset: number): string {
  const words = [0, 8, 16, 24].map((at) =>
    bytes
      .readBigUInt64LE(offset + at)
      .toString(16)
      .padStart(16, '0'),
  );
  return words.join('');
}

/** The chunks of a xorb, each behind a header: version, size, scheme, size before compression. */
function chunksOf(xorb: Buffer): readonly Buffer[] {
  const chunks: Buffer[] = [];
  for (let offset = 0; offset < xorb.length; ) {
    const size = xorb.readUIntLE(offset + 1, 3);
    const scheme = xorb[offset + 4];
    const plainSize = xorb.readUIntLE(offset + 5, 3);
    const data = xorb.subarray(offset + 8, offset + 8 + size);
    chunks.push(decompress(data, scheme, plainSize));
    offset += 8 + size;
  }
  return chunks;
}

function decompress(data: Buffer, scheme: number | undefined, plainSize: number): Buffer {
  if (scheme === 0) return data;
  const plain = decompressLz4Frame(data, plainSize);
  if (scheme === 1) return plain;
  if (scheme === 2) return ungrouped(plain);
  throw new Error(`unknown compression scheme ${scheme}`);
}

/** All first bytes of groups of four stand together, then all second ones, … */
function ungrouped(grouped: Buffer): Buffer {
  const plain = Buffer.alloc(grouped.length);
  let from = 0;
  for (let first = 0; first < 4; first += 1) {
    for (let to = first; to < plain.length; to += 4, from += 1) plain[to] = grouped[from]!;
  }
  return plain;
}
