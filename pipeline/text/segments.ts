/**
 * Cuts a text behind white space, so that a huge one can be tokenized piece by piece.
 * @param isBlank [256] 1 for the bytes of white space
 * @param size bytes that a segment should have; one without white space behind them is longer
 */
export function* segmentsOf(text: Uint8Array, isBlank: Uint8Array, size: number): Generator<Uint8Array> {
  for (let start = 0; start < text.length; ) {
    let end = Math.min(start + size, text.length);
    while (end < text.length && isBlank[text[end - 1]!] === 0) end += 1;
    yield text.subarray(start, end);
    start = end;
  }
}
