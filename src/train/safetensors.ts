import { z } from 'zod';
import {
  AtomicFile,
  type ByteFile,
  type CommittedFile,
  messageOf,
  openLocalFile,
  TacoError,
} from '../../pipeline/index.ts';
import type { NamedArray } from './session-types.ts';

/*
 * The safetensors format (https://huggingface.co/docs/safetensors): header length as 64-bit little-endian
 * number, JSON header of names, dtypes, shapes and byte ranges, then the numbers without gaps. Read by Python's
 * `safetensors` and by transformers' `from_pretrained`.
 */

const LENGTH_BYTES = 8;
/** The header is padded with spaces so that the numbers begin at a multiple of this. */
const ALIGNMENT = 8;
/** The limit of the reference implementation. */
const LARGEST_HEADER_BYTES = 100_000_000;

const entrySchema = z.strictObject({
  dtype: z.string(),
  shape: z.array(z.int().nonnegative()),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
});
const headerSchema = z.record(z.string(), z.union([entrySchema, z.record(z.string(), z.string())]));

/** transformers refuses files that do not say which framework's layouts they hold; ours are PyTorch's. */
const METADATA = { format: 'pt' } as const;

/**
 * Writes float32 tensors, sorted by name, one after another to the disk.
 * @throws TacoError `disk`
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, NamedArray>,
): Promise<CommittedFile> {
  const entries = [...tensors].sort(([a], [b]) => (a < b ? -1 : 1));
  const file = await AtomicFile.create(path);
  try {
    await file.write(headerOf(entries));
    for (const [, { values }] of entries) {
      await file.write(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    }
    return await file.commit();
  } catch (error) {
    await file.discard();
    throw error;
  }
}

function headerOf(entries: readonly (readonly [string, NamedArray])[]): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: METADATA };
  let offset = 0;
  for (const [name, { shape, values }] of entries) {
    if (sizeOf(shape) !== values.length) {
      throw new RangeError(
        `${name} has ${values.length} values, its shape [${shape.join(', ')}] holds others`,
      );
    }
    const end = offset + values.byteLength;
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, end] };
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(header));
  const padded = Math.ceil(json.byteLength / ALIGNMENT) * ALIGNMENT;
  const bytes = Buffer.alloc(LENGTH_BYTES + padded, ' ');
  bytes.writeBigUInt64LE(BigInt(padded));
  json.copy(bytes, LENGTH_BYTES);
  return bytes;
}

/**
 * Reads all tensors of a file.
 * @throws TacoError `corrupt` when it is not a safetensors file of floating-point tensors, `disk` or `not-found` when
 *   it cannot be read
 */
export async function readSafetensors(path: string): Promise<Map<string, NamedArray>> {
  const file = await openLocalFile(path);
  try {
    const { tensors } = await decodeSafetensors(file);
    return tensors;
  } finally {
    await file.close();
  }
}

export interface DecodedSafetensors {
  readonly tensors: Map<string, NamedArray>;
  /** Types that were read, as the format spells them: F32, F16, BF16. */
  readonly dtypes: ReadonlySet<string>;
}

/**
 * Reads tensors of a file, on disk or on the Hub; float16 and bfloat16 become float32, which holds each of their values.
 * @param isWanted asked for every name of the file; what is not wanted is not read and may be of any type
 * @throws TacoError `corrupt`; as the file's `read`
 */
export async function decodeSafetensors(
  file: ByteFile,
  isWanted: (name: string) => boolean = () => true,
): Promise<DecodedSafetensors> {
  const { entries, dataStart } = await readHeader(file);
  const tensors = new Map<string, NamedArray>();
  const dtypes = new Set<string>();
  for (const { name, shape, dtype, begin, end } of entries) {
    if (!isWanted(name)) continue;
    const format = formats[dtype];
    if (format === undefined)
      throw corrupt(file.name, `tensor "${name}" is ${dtype}, expected F32, F16 or BF16`);
    if (end - begin !== sizeOf(shape) * format.bytes || dataStart + end > file.sizeBytes) {
      throw corrupt(
        file.name,
        `tensor "${name}" lies at bytes ${begin} to ${end}, which its shape or the file denies`,
      );
    }
    dtypes.add(dtype);
    const bytes = await file.read(dataStart + begin, dataStart + end);
    tensors.set(name, { shape, values: format.decode(bytes) });
  }
  return { tensors, dtypes };
}

interface Format {
  /** Of one number. */
  readonly bytes: number;
  readonly decode: (bytes: Uint8Array<ArrayBuffer>) => Float32Array<ArrayBuffer>;
}

const formats: Readonly<Record<string, Format | undefined>> = {
  F32: {
    bytes: 4,
    decode: ({ buffer, byteOffset, length }) => new Float32Array(buffer, byteOffset, length / 4),
  },
  F16: { bytes: 2, decode: (bytes) => Float32Array.from(halves(bytes), float16) },
  // The upper half of a float32.
  BF16: {
    bytes: 2,
    decode: (bytes) => new Float32Array(Uint32Array.from(halves(bytes), (bits) => bits << 16).buffer),
  },
};

function halves({ buffer, byteOffset, length }: Uint8Array<ArrayBuffer>): Uint16Array {
  return new Uint16Array(buffer, byteOffset, length / 2);
}

/** IEEE 754 binary16. */
function float16(bits: number): number {
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  const special = fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN;
  const normal = exponent === 0 ? fraction * 2 ** -24 : (0x400 + fraction) * 2 ** (exponent - 25);
  const size = exponent === 0x1f ? special : normal;
  return (bits & 0x8000) === 0 ? size : -size;
}

interface HeaderEntry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

async function readHeader(
  file: ByteFile,
): Promise<{ readonly entries: readonly HeaderEntry[]; readonly dataStart: number }> {
  const { name: path, sizeBytes } = file;
  if (sizeBytes < LENGTH_BYTES)
    throw corrupt(path, `it has ${sizeBytes} bytes, its header's length alone has 8`);
  const lengthBytes = await file.read(0, LENGTH_BYTES);
  const length = Number(new DataView(lengthBytes.buffer, lengthBytes.byteOffset).getBigUint64(0, true));
  const dataStart = LENGTH_BYTES + length;
  if (length > LARGEST_HEADER_BYTES || dataStart > sizeBytes) {
    throw corrupt(path, `its header would be ${length} bytes long in a file of ${sizeBytes}`);
  }
  const header = parseHeader(await file.read(LENGTH_BYTES, dataStart), path);
  const entries: HeaderEntry[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const entry = entrySchema.safeParse(value);
    if (!entry.success) throw corrupt(path, `its entry "${name}" has not the form that was expected`);
    const { dtype, shape, data_offsets: offsets } = entry.data;
    entries.push({ name, dtype, shape, begin: offsets[0], end: offsets[1] });
  }
  return { entries, dataStart };
}

function parseHeader(bytes: Uint8Array, path: string): z.infer<typeof headerSchema> {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (error) {
    throw corrupt(path, `its header is not JSON (${messageOf(error)})`, error);
  }
  const parsed = headerSchema.safeParse(json);
  if (!parsed.success) throw corrupt(path, 'its header has not the form that was expected', parsed.error);
  return parsed.data;
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function corrupt(path: string, why: string, cause?: unknown): TacoError {
  return new TacoError(`${path} is not a usable safetensors file: ${why}`, {
    code: 'corrupt',
    stage: 'checkpoint',
    path,
    cause,
  });
}
