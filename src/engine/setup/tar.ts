import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, symlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { once } from 'node:events';
import { createGunzip } from 'node:zlib';
import { messageOf, TacoError } from '../../../pipeline/index.ts';
import { safeJoin } from './safe-join.ts';

const blockBytes = 512;

interface TarHeader {
  readonly name: string;
  readonly bytes: number;
  readonly type: string;
  readonly linkName: string;
}

/**
 * Unpacks files and symbolic links of a gzipped tar archive (POSIX ustar, with GNU and pax long names).
 * @param targetOf where a file goes, relative to `folder`; undefined leaves it out
 * @returns how many files and links were written
 * @throws TacoError `corrupt` for an archive that is cut short, damaged, or leads out of the folder
 */
export async function extractTarGz(
  file: string,
  folder: string,
  targetOf: (name: string) => string | undefined,
  signal?: AbortSignal,
): Promise<number> {
  const reader = new BlockReader(file);
  let numFiles = 0;
  let longName: string | undefined;
  for (;;) {
    signal?.throwIfAborted();
    const block = await reader.take(blockBytes);
    if (block === undefined || block.every((byte) => byte === 0)) break;
    const header = parseHeader(file, block);
    const padding = (blockBytes - (header.bytes % blockBytes)) % blockBytes;
    if (header.type === 'L' || header.type === 'x') {
      const data = await reader.exactly(header.bytes);
      await reader.exactly(padding);
      longName = header.type === 'L' ? textOf(data) : (paxPath(data.toString('utf8')) ?? longName);
      continue;
    }
    const target = targetOf(longName ?? header.name);
    longName = undefined;
    const isFile = header.type === '0' || header.type === '\0';
    if (target !== undefined && (isFile || header.type === '2')) {
      const path = safeJoin(folder, target, file);
      await mkdir(dirname(path), { recursive: true });
      if (isFile) {
        await reader.copyTo(path, header.bytes);
      } else {
        safeJoin(folder, `${dirname(target)}/${header.linkName}`, file);
        await symlink(header.linkName, path);
      }
      numFiles += 1;
    } else {
      await reader.skip(header.bytes);
    }
    await reader.exactly(padding);
  }
  await reader.close();
  if (numFiles === 0) throw corrupt(file, 'nothing of what was looked for is in it');
  return numFiles;
}

function parseHeader(file: string, block: Buffer): TarHeader {
  const stored = Number.parseInt(textOf(block.subarray(148, 156)), 8);
  const summed = block.reduce((sum, byte, index) => sum + (index >= 148 && index < 156 ? 32 : byte), 0);
  if (stored !== summed) throw corrupt(file, 'a header is damaged');
  const prefix = textOf(block.subarray(257, 262)) === 'ustar' ? textOf(block.subarray(345, 500)) : '';
  const name = textOf(block.subarray(0, 100));
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    bytes: sizeOf(block.subarray(124, 136)),
    type: String.fromCharCode(block[156]!),
    linkName: textOf(block.subarray(157, 257)),
  };
}

/** Octal, or base 256 with the first bit set for files of 8 GB and more. */
function sizeOf(field: Buffer): number {
  if ((field[0]! & 0x80) === 0) return Number.parseInt(textOf(field).trim(), 8);
  return field.subarray(1).reduce((size, byte) => size * 256 + byte, 0);
}

function textOf(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end === -1 ? field.length : end);
}

/** pax records are `<length> <key>=<value>\n`. */
function paxPath(records: string): string | undefined {
  return /(?:^|\n)\d+ path=([^\n]*)\n/.exec(records)?.[1];
}

/** Pulls counted bytes from the unzipped stream. */
class BlockReader {
  readonly #file: string;
  readonly #source: ReturnType<typeof createReadStream>;
  readonly #chunks: AsyncIterator<Buffer, undefined>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(file: string) {
    this.#file = file;
    this.#source = createReadStream(file);
    const unzipped = createGunzip();
    this.#source.on('error', (error) => unzipped.destroy(error));
    const chunks: AsyncIterable<Buffer, undefined> = this.#source.pipe(unzipped);
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** The next bytes, or undefined at the end of the archive. */
  async take(length: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    let missing = length;
    while (missing > 0) {
      const part = await this.#some(missing);
      if (part === undefined) {
        if (missing === length) return undefined;
        throw corrupt(this.#file, 'it is cut short');
      }
      parts.push(part);
      missing -= part.length;
    }
    return parts.length === 1 ? parts[0] : Buffer.concat(parts);
  }

  async exactly(length: number): Promise<Buffer> {
    if (length === 0) return Buffer.alloc(0);
    const data = await this.take(length);
    if (data === undefined) throw corrupt(this.#file, 'it is cut short');
    return data;
  }

  async skip(length: number): Promise<void> {
    for (let missing = length; missing > 0; ) missing -= (await this.#someOrFail(missing)).length;
  }

  async copyTo(path: string, length: number): Promise<void> {
    const sink = createWriteStream(path);
    const closed = once(sink, 'close');
    try {
      for (let missing = length; missing > 0; ) {
        const part = await this.#someOrFail(missing);
        missing -= part.length;
        if (!sink.write(part)) await once(sink, 'drain');
      }
    } finally {
      sink.end();
      await closed;
    }
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
    this.#source.destroy();
  }

  async #someOrFail(most: number): Promise<Buffer> {
    const part = await this.#some(most);
    if (part === undefined) throw corrupt(this.#file, 'it is cut short');
    return part;
  }

  /** From one byte to `most`; undefined at the end. */
  async #some(most: number): Promise<Buffer | undefined> {
    while (this.#rest.length === 0) {
      const next = await this.#next();
      if (next === undefined) return undefined;
      this.#rest = next;
    }
    const part = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(part.length);
    return part;
  }

  async #next(): Promise<Buffer | undefined> {
    try {
      const { done, value } = await this.#chunks.next();
      return done === true ? undefined : value;
    } catch (error) {
      throw corrupt(this.#file, messageOf(error), error);
    }
  }
}

function corrupt(file: string, what: string, cause?: unknown): TacoError {
  return new TacoError(`${file} is not a whole .tar.gz archive: ${what}`, {
    code: 'corrupt',
    stage: 'setup',
    path: file,
    cause,
  });
}
