import { type FileHandle, open } from 'node:fs/promises';
import { z } from 'zod';
import { AtomicFile, type CommittedFile, messageOf, TacoError } from '../../pipeline/index.ts';
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
const FLOAT_BYTES = 4;

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
 * @throws TacoError `corrupt` when it is not a safetensors file of float32 tensors, `disk` when it cannot be read
 */
export async function readSafetensors(path: string): Promise<Map<string, NamedArray>> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    throw new TacoError(`cannot read ${path}: ${messageOf(error)}`, {
      code: 'disk',
      stage: 'checkpoint',
      path,
      cause: error,
    });
  }
  try {
    const { size } = await handle.stat();
    const { entries, dataStart } = await readHeader(handle, size, path);
    const tensors = new Map<string, NamedArray>();
    for (const { name, shape, begin } of entries) {
      const values = new Float32Array(sizeOf(shape));
      await readFully(handle, new Uint8Array(values.buffer), dataStart + begin, path);
      tensors.set(name, { shape, values });
    }
    return tensors;
  } finally {
    await handle.close();
  }
}

interface HeaderEntry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly begin: number;
}

async function readHeader(
  handle: FileHandle,
  fileSize: number,
  path: string,
): Promise<{ readonly entries: readonly HeaderEntry[]; readonly dataStart: number }> {
  const lengthBytes = new Uint8Array(LENGTH_BYTES);
  await readFully(handle, lengthBytes, 0, path);
  const length = Number(new DataView(lengthBytes.buffer).getBigUint64(0, true));
  const dataStart = LENGTH_BYTES + length;
  if (length > LARGEST_HEADER_BYTES || dataStart > fileSize) {
    throw corrupt(path, `its header would be ${length} bytes long in a file of ${fileSize}`);
  }
  const bytes = new Uint8Array(length);
  await readFully(handle, bytes, LENGTH_BYTES, path);
  const header = parseHeader(bytes, path);

  const entries: HeaderEntry[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const entry = entrySchema.safeParse(value);
    if (!entry.success) throw corrupt(path, `its entry "${name}" has not the form that was expected`);
    const { dtype, shape, data_offsets: offsets } = entry.data;
    if (dtype !== 'F32') throw corrupt(path, `tensor "${name}" is ${dtype}, expected F32`);
    const [begin, end] = offsets;
    if (end - begin !== sizeOf(shape) * FLOAT_BYTES || dataStart + end > fileSize) {
      throw corrupt(
        path,
        `tensor "${name}" lies at bytes ${begin} to ${end}, which its shape or the file denies`,
      );
    }
    entries.push({ name, shape, begin });
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

async function readFully(
  handle: FileHandle,
  target: Uint8Array,
  position: number,
  path: string,
): Promise<void> {
  for (let done = 0; done < target.byteLength; ) {
    const { bytesRead } = await handle.read(target, done, target.byteLength - done, position + done);
    if (bytesRead === 0) throw corrupt(path, `it ends at byte ${position + done}, more was expected`);
    done += bytesRead;
  }
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
