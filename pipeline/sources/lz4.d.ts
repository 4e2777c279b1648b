/** The part of hyparquet-compressors 1.1.2 that pages are decompressed with; its types are those of its index. */
declare module 'hyparquet-compressors/src/lz4.js' {
  export { decompressLz4, decompressLz4Raw } from 'hyparquet-compressors';
}
