import { delimited, double, float, integer, type Message, message, text } from '../report/protobuf.ts';
import type { MetricsLine } from './metrics.ts';

/*
 * TensorBoard's event files: records framed as in TFRecord files, each a protocol buffer `Event`
 * (tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto). A record of the same values has the same
 * length at any time, so that a reader that follows the file stays in step when a run makes steps again.
 */

/** The first record of a file says this. */
const FILE_VERSION = 'brain.Event:2';

/** Numbers of the fields used. */
const EVENT = { wallTime: 1, step: 2, fileVersion: 3, summary: 5 } as const;
const SUMMARY = { value: 1 } as const;
const VALUE = { tag: 1, simpleValue: 2 } as const;

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
  return framed(message(double(EVENT.wallTime, now / 1000), text(EVENT.fileVersion, FILE_VERSION)));
}

/**
 * A line of metrics as a record: every value by its tag at the line's step. What is not finite stays so.
 * @param now milliseconds since 1970
 */
export function scalarsRecord(line: MetricsLine, now: number): Uint8Array {
  const entries: Readonly<Record<string, unknown>> = line;
  const values = Object.entries(tags[line.type]).flatMap(([name, tag]) => {
    const value = entries[name];
    return value === undefined ? [] : [delimited(SUMMARY.value, scalarOf(tag, value as number | null))];
  });
  return framed(
    message(
      double(EVENT.wallTime, now / 1000),
      integer(EVENT.step, line.step),
      delimited(EVENT.summary, message(...values)),
    ),
  );
}

function scalarOf(tag: string, value: number | null): Message {
  return message(text(VALUE.tag, tag), float(VALUE.simpleValue, value ?? Number.NaN));
}

/** Length as 64-bit number, its checksum, the data, its checksum. */
function framed({ pieces }: Message): Uint8Array {
  const data = Buffer.concat(pieces);
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
