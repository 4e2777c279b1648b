/** What malformed bytes are read as. */
export const REPLACEMENT = 0xfffd;

/** Decodes one character after another from UTF-8. */
export class Utf8Reader {
  /** Where the next character begins. */
  position = 0;

  /**
   * The code point at `position`, which moves behind it. Each maximal part of an ill-formed sequence reads as one
   * U+FFFD (Unicode Standard, section 3.9, "substitution of maximal subparts"; the same as WHATWG's and Python's
   * decoders). A byte order mark is a character as any other.
   * @param end exclusive; `position` is below it
   */
  next(bytes: Uint8Array, end: number): number {
    const first = bytes[this.position]!;
    this.position += 1;
    if (first < 0x80) return first;
    if (first < 0xc2 || first > 0xf4) return REPLACEMENT;
    const numMore = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    // The second byte's range keeps out over-long forms, surrogates and what lies behind U+10FFFF.
    let low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    let high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    let codePoint = first & (0x3f >> numMore);
    for (let count = 0; count < numMore; count += 1) {
      if (this.position >= end) return REPLACEMENT;
      const byte = bytes[this.position]!;
      if (byte < low || byte > high) return REPLACEMENT;
      codePoint = (codePoint << 6) | (byte & 0x3f);
      this.position += 1;
      low = 0x80;
      high = 0xbf;
    }
    return codePoint;
  }
}

/** All code points of UTF-8 text, malformed bytes as U+FFFD. */
export function decodeUtf8(bytes: Uint8Array, start: number, end: number): Uint32Array {
  const reader = new Utf8Reader();
  reader.position = start;
  const codePoints = new Uint32Array(end - start);
  let length = 0;
  while (reader.position < end) {
    codePoints[length] = reader.next(bytes, end);
    length += 1;
  }
  return codePoints.subarray(0, length);
}

/** Code points of well-formed UTF-8: its bytes without the continuation bytes (10xxxxxx), four at a time. */
export function countCharacters(text: Uint8Array): number {
  const head = Math.min(text.length, (4 - (text.byteOffset & 3)) & 3);
  const numWords = (text.length - head) >> 2;
  const words = new Int32Array(text.buffer, numWords === 0 ? 0 : text.byteOffset + head, numWords);
  let numContinuing = continuingIn(words);
  for (let index = 0; index < head; index += 1) numContinuing += isContinuing(text[index]!);
  for (let index = head + 4 * numWords; index < text.length; index += 1) {
    numContinuing += isContinuing(text[index]!);
  }
  return text.length - numContinuing;
}

/** Continuation bytes of words. Its own function: as a loop among others it was compiled and given up for every text. */
function continuingIn(words: Int32Array): number {
  let numContinuing = 0;
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index]!;
    const marks = (word >>> 7) & ~(word >>> 6) & 0x01010101;
    numContinuing += Math.imul(marks, 0x01010101) >>> 24;
  }
  return numContinuing;
}

function isContinuing(byte: number): number {
  return (byte & 0xc0) === 0x80 ? 1 : 0;
}
