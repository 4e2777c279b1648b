import { createReadStream, createWriteStream } from 'node:fs';
import { type FileHandle, mkdir, open, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw, inflateRawSync } from 'node:zlib';
import { messageOf, systemCodeOf, TacoError } from '../../../pipeline/index.ts';
import { safeJoin } from './safe-join.ts';

/** A file inside a zip archive (PKWARE APPNOTE 4.3.12). Folders are left out. */
export interface ZipEntry {
  readonly name: string;
  readonly compressedBytes: number;
  readonly bytes: number;
  readonly method: 'stored' | 'deflated';
  /** Of the local header, which precedes the data. */
  readonly headerOffset: number;
}

const endSignature = 0x06054b50;
const endBytes = 22;
const centralSignature = 0x02014b50;
const localSignature = 0x04034b50;
/** Entries up to this size are inflated in memory: a wheel has thousands of small headers. */
const smallBytes = 1 << 20;

/**
 * Reads the list of files of a zip archive, such as a Python wheel.
 * @throws TacoError `corrupt` for anything that is not a whole, plain zip archive below 4 GB
 */
export async function listZip(file: string): Promise<readonly ZipEntry[]> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const tail = await readAt(
      handle,
      Math.max(0, size - 0xffff - endBytes),
      Math.min(size, 0xffff + endBytes),
    );
    const at = lastSignature(tail);
    if (at === -1) throw corrupt(file, 'the list of its files is missing; the download may be cut short');
    const numEntries = tail.readUInt16LE(at + 10);
    const listBytes = tail.readUInt32LE(at + 12);
    const listOffset = tail.readUInt32LE(at + 16);
    if (listOffset + listBytes > size) throw corrupt(file, 'the list of its files is cut short');
    return parseList(file, await readAt(handle, listOffset, listBytes), numEntries);
  } finally {
    await handle.close();
  }
}

function lastSignature(tail: Buffer): number {
  for (let at = tail.length - endBytes; at >= 0; at -= 1) {
    if (tail.readUInt32LE(at) === endSignature) return at;
  }
  return -1;
}

function parseList(file: string, list: Buffer, numEntries: number): ZipEntry[] {
  const entries: ZipEntry[] = [];
  let at = 0;
  for (let i = 0; i < numEntries; i += 1) {
    if (at + 46 > list.length || list.readUInt32LE(at) !== centralSignature) {
      throw corrupt(file, 'the list of its files is damaged');
    }
    const method = list.readUInt16LE(at + 10);
    const compressedBytes = list.readUInt32LE(at + 20);
    const bytes = list.readUInt32LE(at + 24);
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((field) => list.readUInt16LE(at + field));
    const headerOffset = list.readUInt32LE(at + 42);
    const name = list.toString('utf8', at + 46, at + 46 + nameBytes!);
    at += 46 + nameBytes! + extraBytes! + commentBytes!;
    if (name.endsWith('/')) continue;
    if (method !== 0 && method !== 8) throw corrupt(file, `${name} is compressed by method ${method}`);
    if ([compressedBytes, bytes, headerOffset].includes(0xffffffff)) {
      throw corrupt(file, `${name} needs zip64, which is not read here`);
    }
    entries.push({
      name,
      compressedBytes,
      bytes,
      headerOffset,
      method: method === 0 ? 'stored' : 'deflated',
    });
  }
  return entries;
}

/** The text of one small file. @throws TacoError `corrupt` */
export async function readZipText(file: string, entry: ZipEntry): Promise<string> {
  const handle = await open(file, 'r');
  try {
    return (await inflateSmall(file, handle, entry)).toString('utf8');
  } finally {
    await handle.close();
  }
}

/**
 * Unpacks some files of a zip archive.
 * @param targetOf where a file goes, relative to `folder`; undefined leaves it out
 * @returns how many files were written
 * @throws TacoError `corrupt`
 */
export async function extractZip(
  file: string,
  folder: string,
  targetOf: (name: string) => string | undefined,
  signal?: AbortSignal,
): Promise<number> {
  const entries = await listZip(file);
  const handle = await open(file, 'r');
  let numFiles = 0;
  try {
    for (const entry of entries) {
      signal?.throwIfAborted();
      const target = targetOf(entry.name);
      if (target === undefined) continue;
      const path = safeJoin(folder, target, file);
      await mkdir(dirname(path), { recursive: true });
      await extractEntry(file, handle, entry, path);
      numFiles += 1;
    }
  } finally {
    await handle.close();
  }
  return numFiles;
}

async function extractEntry(file: string, handle: FileHandle, entry: ZipEntry, path: string): Promise<void> {
  if (entry.bytes <= smallBytes) {
    await writeFile(path, await inflateSmall(file, handle, entry));
    return;
  }
  const start = await dataOffset(file, handle, entry);
  const source = createReadStream(file, { start, end: start + entry.compressedBytes - 1 });
  const sink = createWriteStream(path);
  try {
    await (entry.method === 'stored' ? pipeline(source, sink) : pipeline(source, createInflateRaw(), sink));
  } catch (error) {
    throw unpackError(file, entry, error);
  }
  requireSize(file, entry, sink.bytesWritten);
}

async function inflateSmall(file: string, handle: FileHandle, entry: ZipEntry): Promise<Buffer> {
  const data = await readAt(handle, await dataOffset(file, handle, entry), entry.compressedBytes);
  try {
    const plain = entry.method === 'stored' ? data : inflateRawSync(data);
    requireSize(file, entry, plain.length);
    return plain;
  } catch (error) {
    throw unpackError(file, entry, error);
  }
}

async function dataOffset(file: string, handle: FileHandle, entry: ZipEntry): Promise<number> {
  const header = await readAt(handle, entry.headerOffset, 30);
  if (header.length < 30 || header.readUInt32LE(0) !== localSignature) {
    throw corrupt(file, `the header of ${entry.name} is damaged`);
  }
  return entry.headerOffset + 30 + header.readUInt16LE(26) + header.readUInt16LE(28);
}

function requireSize(file: string, entry: ZipEntry, bytes: number): void {
  if (bytes !== entry.bytes) {
    throw corrupt(file, `${entry.name} unpacks to ${bytes} bytes, expected ${entry.bytes}`);
  }
}

/** Errors of zlib have codes that begin with Z; what the disk says is passed on. */
function unpackError(file: string, entry: ZipEntry, error: unknown): unknown {
  if (systemCodeOf(error)?.startsWith('Z_') !== true) return error;
  return corrupt(file, `${entry.name} does not unpack (${messageOf(error)})`, error);
}

async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await handle.read(buffer, 0, length, position);
  return buffer.subarray(0, bytesRead);
}

function corrupt(file: string, what: string, cause?: unknown): TacoError {
  return new TacoError(`${file} is not a whole zip archive: ${what}`, {
    code: 'corrupt',
    stage: 'setup',
    path: file,
    cause,
  });
}
