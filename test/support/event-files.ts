import { readFile } from 'node:fs/promises';

/** What one record of TensorBoard's file says. */
export interface DecodedEvent {
  /** Seconds since 1970. */
  readonly wallTime: number;
  readonly step: number;
  readonly fileVersion: string | undefined;
  readonly values: ReadonlyMap<string, number>;
}

/**
 * Reads an event file by the letter of the formats (TFRecord, `Event`, `Summary`) and nothing else: checksums must be
 * right, fields known, and the file must end with a record.
 */
export async function readEventFile(path: string): Promise<readonly DecodedEvent[]> {
  return decodeEventFile(await readFile(path));
}

export function decodeEventFile(bytes: Buffer): readonly DecodedEvent[] {
  const events: DecodedEvent[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    requireChecksum(bytes.subarray(at, at + 8), bytes.readUInt32LE(at + 8));
    const data = bytes.subarray(at + 12, at + 12 + length);
    if (data.length !== length) throw new Error(`record at ${at} is torn`);
    requireChecksum(data, bytes.readUInt32LE(at + 12 + length));
    events.push(decodeEvent(data));
    at += 16 + length;
  }
  return events;
}

/** Bit by bit, as the definition says. */
function requireChecksum(bytes: Uint8Array, expected: number): void {
  let crc = 0xffffffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1n) === 1n ? (crc >> 1n) ^ 0x82f63b78n : crc >> 1n;
  }
  crc ^= 0xffffffffn;
  const masked = (((crc >> 15n) | (crc << 17n)) + 0xa282ead8n) & 0xffffffffn;
  if (masked !== BigInt(expected)) throw new Error(`checksum is ${expected}, expected ${masked}`);
}

function decodeEvent(data: Buffer): DecodedEvent {
  const event = { wallTime: Number.NaN, step: 0, fileVersion: undefined as string | undefined };
  const values = new Map<string, number>();
  for (const { field, wire, number, bytes } of fieldsOf(data)) {
    if (field === 1 && wire === 1) event.wallTime = bytes.readDoubleLE();
    else if (field === 2 && wire === 0) event.step = number;
    else if (field === 3 && wire === 2) event.fileVersion = bytes.toString('utf8');
    else if (field === 5 && wire === 2) for (const [tag, value] of summaryOf(bytes)) values.set(tag, value);
    else throw new Error(`an event has field ${field} of wire type ${wire}`);
  }
  return { ...event, values };
}

function summaryOf(data: Buffer): [string, number][] {
  return [...fieldsOf(data)].map(({ field, wire, bytes: value }) => {
    if (field !== 1 || wire !== 2) throw new Error(`a summary has field ${field} of wire type ${wire}`);
    const [tag, simple, ...others] = [...fieldsOf(value)];
    if (tag?.field !== 1 || simple?.field !== 2 || simple.wire !== 5 || others.length > 0) {
      throw new Error('a value is not a tag and a simple value');
    }
    return [tag.bytes.toString('utf8'), simple.bytes.readFloatLE()];
  });
}

interface Field {
  readonly field: number;
  readonly wire: number;
  readonly number: number;
  readonly bytes: Buffer;
}

function* fieldsOf(data: Buffer): Generator<Field> {
  let at = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = data.readUInt8(at);
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(value);
    }
  };
  while (at < data.length) {
    const key = varint();
    const wire = key & 7;
    if (![0, 1, 2, 5].includes(wire)) throw new Error(`wire type ${wire}`);
    const number = wire === 0 || wire === 2 ? varint() : 0;
    const size = { 0: 0, 1: 8, 2: number, 5: 4 }[wire]!;
    const bytes = data.subarray(at, at + size);
    if (bytes.length !== size) throw new Error('a field ends behind its record');
    at += size;
    yield { field: key >> 3, wire, number, bytes };
  }
}
