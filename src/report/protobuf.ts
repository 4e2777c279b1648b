/*
 * The part of Protocol Buffers' wire format that ONNX and TensorBoard's files need
 * (https://protobuf.dev/programming-guides/encoding): fields in order, each behind a key of number and wire type.
 */

const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;

/** An encoded message, in pieces: large ones are never copied to be put together. */
export interface Message {
  readonly bytes: number;
  readonly pieces: readonly Uint8Array[];
}

/** Fields of a message one after another. */
export function message(...fields: readonly Message[]): Message {
  return {
    bytes: fields.reduce((sum, { bytes }) => sum + bytes, 0),
    pieces: fields.flatMap(({ pieces }) => pieces),
  };
}

/** A field of type int32, int64 or enum. @param value a safe integer, or a bigint */
export function integer(field: number, value: number | bigint): Message {
  return piece(Uint8Array.from([...varint(BigInt(key(field, VARINT))), ...varint(BigInt(value))]));
}

/** A field of type float. */
export function float(field: number, value: number): Message {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return message(piece(Uint8Array.from(varint(BigInt(key(field, FIXED32))))), piece(bytes));
}

/** A field of type double. */
export function double(field: number, value: number): Message {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return message(piece(Uint8Array.from(varint(BigInt(key(field, FIXED64))))), piece(bytes));
}

/** A field of type string. */
export function text(field: number, value: string): Message {
  return delimited(field, piece(Buffer.from(value)));
}

/** A field that holds another message, or plain bytes. */
export function delimited(field: number, content: Message): Message {
  const head = [...varint(BigInt(key(field, DELIMITED))), ...varint(BigInt(content.bytes))];
  return message(piece(Uint8Array.from(head)), content);
}

/** Plain bytes. */
export function piece(bytes: Uint8Array): Message {
  return { bytes: bytes.byteLength, pieces: [bytes] };
}

function key(field: number, wireType: number): number {
  return field * 8 + wireType;
}

/** LEB128; negative numbers as 64 bits of two's complement. */
function varint(value: bigint): readonly number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return bytes;
}
