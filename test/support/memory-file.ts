import type { ByteFile } from '../../pipeline/sources/byte-file.ts';

/** A Parquet file in memory that remembers what was read, and spoils what is given back: nobody may read it any more. */
export function memoryFile(bytes: Uint8Array): ByteFile & { readonly reads: (readonly [number, number])[] } {
  const reads: (readonly [number, number])[] = [];
  return {
    name: 'memory.parquet',
    sizeBytes: bytes.length,
    reads,
    close: () => Promise.resolve(),
    recycle: (given) => given.fill(0xdb),
    read(start, end) {
      reads.push([start, end]);
      return Promise.resolve(new Uint8Array(bytes.subarray(start, end)));
    },
  };
}
