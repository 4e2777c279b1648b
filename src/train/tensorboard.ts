import type { MetricsLine } from './metrics.ts';

/*
 * TensorBoard's event files: records framed as in TFRecord files, each a protocol buffer `Event`
 * (tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto). A record of the same values has the same
 * length at any time, so that a reader that follows the file stays in step when a run makes steps again.
 */

/** The first record of a file says this. */
const FILE_VERSION = 'brain.Event:2';

/** Keys of the fields used: field number times 8 plus wire type. */
const EVENT = { wallTime: 0x09, step: 0x10, fileVersion: 0x1a, summary: 0x2a } as const;
const SUMMARY = { value: 0x0a } as const;
const VALUE = { tag: 0x0a, simpleValue: 0x15 } as const;

/** Values of a line under their tags. What only counts or times the work around it is left to `metrics.jsonl`. */
const tags = {
  update: {
    loss: 'train/loss',
    mlmLoss: 'train/mlm_loss',
    mlmAccuracy: 'train/mlm_accuracy',
    tcLoss: 'train/tc_loss',
    tcAccuracy: 'train/tc_accuracy',
    learningRate: 'train/learning_rate',
    gradNorm: 'train/grad_norm',
    tokensPerSecond: 'train/tokens_per_second',
  },
  validation: {
    mlmLoss: 'validation/mlm_loss',
    perplexity: 'validation/perplexity',
    mlmAccuracy: 'validation/mlm_accuracy',
    tcLoss: 'validation/tc_loss',
    tcAccuracy: 'validation/tc_accuracy',
  },
} as const satisfies Readonly<Record<MetricsLine['type'], Readonly<Record<string, string>>>>;

/**
 * The record that a file begins with.
 * @param now milliseconds since 1970
 */
export function fileVersionRecord(now: number): Uint8Array {
  return framed(
    Buffer.concat([wallTimeField(now), bytesField(EVENT.fileVersion, Buffer.from(FILE_VERSION))]),
  );
}

/**
 * A line of metrics as a record: every value by its tag at the line's step. What is not finite stays so.
 * @param now milliseconds since 1970
 */
export function scalarsRecord(line: MetricsLine, now: number): Uint8Array {
  const entries: Readonly<Record<string, unknown>> = line;
  const values = Object.entries(tags[line.type]).flatMap(([name, tag]) => {
    const value = entries[name];
    return value === undefined ? [] : [bytesField(SUMMARY.value, scalarOf(tag, value as number | null))];
  });
  return framed(
    Buffer.concat([
      wallTimeField(now),
      Buffer.from([EVENT.step, ...varint(line.step)]),
      bytesField(EVENT.summary, Buffer.concat(values)),
    ]),
  );
}

function scalarOf(tag: string, value: number | null): Buffer {
  const number = Buffer.alloc(5);
  number[0] = VALUE.simpleValue;
  number.writeFloatLE(value ?? Number.NaN, 1);
  return Buffer.concat([bytesField(VALUE.tag, Buffer.from(tag)), number]);
}

function wallTimeField(now: number): Buffer {
  const field = Buffer.alloc(9);
  field[0] = EVENT.wallTime;
  field.writeDoubleLE(now / 1000, 1);
  return field;
}

function bytesField(key: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([key, ...varint(bytes.byteLength)]), bytes]);
}

/** Seven bits a byte, the low ones first. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return [...bytes, rest];
}

/** Length as 64-bit number, its checksum, the data, its checksum. */
function framed(data: Uint8Array): Uint8Array {
  const head = Buffer.alloc(12);
  head.writeBigUInt64LE(BigInt(data.byteLength));
  head.writeUInt32LE(maskedCrc32c(head.subarray(0, 8)), 8);
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(maskedCrc32c(data));
  return Buffer.concat([head, data, tail]);
}

/** Castagnoli's polynomial, bits reversed. */
const POLYNOMIAL = 0x82f63b78;

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
  return crc;
});

/** CRC-32C, rotated and shifted by a constant, so that checksums of data that hold checksums are of use too. */
function maskedCrc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ crcTable[(crc ^ byte) & 0xff]!;
  crc = ~crc;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
