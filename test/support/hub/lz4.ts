/** LZ4's frame format, as far as Xet clients use it: independent or linked blocks, no dictionary. */

const MAGIC = 0x184d2204;

/** @param plainSize bytes that come out */
export function decompressLz4Frame(frame: Buffer, plainSize: number): Buffer {
  if (frame.readUInt32LE(0) !== MAGIC) throw new Error('not an LZ4 frame');
  const flags = frame[4]!;
  const hasBlockChecksum = (flags & 0x10) !== 0;
  const hasContentSize = (flags & 0x08) !== 0;
  const output = Buffer.alloc(plainSize);
  let filled = 0;
  for (let offset = hasContentSize ? 15 : 7; ; ) {
    const head = frame.readUInt32LE(offset);
    if (head === 0) break;
    const size = head & 0x7fff_ffff;
    const block = frame.subarray(offset + 4, offset + 4 + size);
    if (head >>> 31 === 1) {
      output.set(block, filled);
      filled += size;
    } else {
      filled = decompressBlock(block, output, filled);
    }
    offset += 4 + size + (hasBlockChecksum ? 4 : 0);
  }
  if (filled !== plainSize) throw new Error(`${filled} bytes came out, expected ${plainSize}`);
  return output;
}

function decompressBlock(block: Buffer, output: Buffer, start: number): number {
  let to = start;
  for (let from = 0; from < block.length; ) {
    const token = block[from]!;
    from += 1;
    const extended = (base: number): number => {
      let length = base;
      if (base === 15) {
        let byte: number;
        do {
          byte = block[from]!;
          from += 1;
          length += byte;
        } while (byte === 255);
      }
      return length;
    };
    const numLiterals = extended(token >> 4);
    output.set(block.subarray(from, from + numLiterals), to);
    from += numLiterals;
    to += numLiterals;
    if (from >= block.length) break;
    const distance = block.readUInt16LE(from);
    from += 2;
    const length = extended(token & 15) + 4;
    for (let end = to + length; to < end; to += 1) output[to] = output[to - distance]!;
  }
  return to;
}
