import { createReadStream } from 'node:fs';
import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { messageOf, TacoError } from '../errors.ts';
import { localError } from './byte-file.ts';
import { MAX_DOCUMENT_BYTES } from './chunker.ts';
import { ZstdStream } from './zstd-stream.ts';

export type Compression = 'none' | 'gzip' | 'zstd';

/** Lines that were complete at the same time. */
export interface LineBatch {
  /** Without line ends; a view, valid until the next batch is asked for. */
  readonly lines: readonly Uint8Array[];
  /** Bytes of the file as it is stored, read up to here. */
  readonly storedBytes: number;
}

const READ_BYTES = 256 * 1024;
const NEWLINE = 10;
const CARRIAGE_RETURN = 13;

/**
 * Lines of a text file in order, decompressed. `\n` and `\r\n` end a line, a last line without either counts,
 * a byte order mark at the start is dropped. Bytes are not decoded: malformed UTF-8 stays as it is.
 * @throws TacoError `not-found`, `disk`, or `corrupt` for a damaged archive or a line over 64 MiB
 */
export async function* readLines(path: string, compression: Compression): AsyncGenerator<LineBatch> {
  /** A line that has begun, in parts: joined once, when it ends, however many blocks it reaches over. */
  let rest: Uint8Array[] = [];
  let restBytes = 0;
  let first = true;
  let storedBytes = 0;
  for await (const block of readBlocks(path, compression)) {
    storedBytes = block.storedBytes;
    let bytes = block.bytes;
    if (restBytes > 0) {
      if (restBytes > MAX_DOCUMENT_BYTES) throw tooLarge(path, 'a line');
      if (!first && !bytes.includes(NEWLINE)) {
        rest.push(bytes);
        restBytes += bytes.length;
        continue;
      }
      bytes = joined([...rest, bytes]);
    }
    if (first && bytes.length >= 3) {
      first = false;
      if (startsWithMark(bytes)) bytes = bytes.subarray(3);
    }
    const lines: Uint8Array[] = [];
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      lines.push(withoutReturn(bytes.subarray(start, end)));
      start = end + 1;
    }
    rest = [bytes.subarray(start)];
    restBytes = bytes.length - start;
    if (lines.length > 0) yield { lines, storedBytes };
  }
  if (restBytes > 0) yield { lines: [withoutReturn(joined(rest))], storedBytes };
}

/**
 * The whole content of a text file, decompressed, without a byte order mark.
 * @throws TacoError as `readLines`
 */
export async function readWhole(path: string, compression: Compression): Promise<Uint8Array> {
  const blocks: Uint8Array[] = [];
  let length = 0;
  for await (const { bytes } of readBlocks(path, compression)) {
    blocks.push(bytes);
    length += bytes.length;
    if (length > MAX_DOCUMENT_BYTES) throw tooLarge(path, 'the document');
  }
  const whole = Buffer.concat(blocks);
  return startsWithMark(whole) ? whole.subarray(3) : whole;
}

async function* readBlocks(
  path: string,
  compression: Compression,
): AsyncGenerator<{ bytes: Uint8Array; storedBytes: number }> {
  const file = createReadStream(path, { highWaterMark: READ_BYTES });
  let fileError: unknown;
  file.once('error', (error) => {
    fileError = error;
  });
  const stream = decompressing(file, compression);
  try {
    for await (const block of stream as AsyncIterable<Uint8Array>) {
      yield { bytes: block, storedBytes: file.bytesRead };
    }
  } catch (error) {
    if (fileError !== undefined) throw localError(path, fileError);
    if (error instanceof TacoError) throw error;
    throw new TacoError(
      `${path} is not a whole ${compression} file (${messageOf(error)}); fetch or pack it again`,
      { code: 'corrupt', stage: 'source', path, cause: error },
    );
  } finally {
    stream.destroy();
    file.destroy();
  }
}

function decompressing(file: Readable, compression: Compression): Readable {
  if (compression === 'none') return file;
  const decoder = compression === 'gzip' ? createGunzip({ chunkSize: READ_BYTES }) : new ZstdStream();
  // The consumer hears of errors through the decoder, which pipeline() destroys with them.
  return pipeline(file, decoder, () => undefined);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts;
  if (parts.length === 1) return only!;
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function withoutReturn(line: Uint8Array): Uint8Array {
  return line.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line;
}

function startsWithMark(bytes: Uint8Array): boolean {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
}

function tooLarge(path: string, what: string): TacoError {
  return new TacoError(
    `${what} in ${path} is over ${MAX_DOCUMENT_BYTES >> 20} MiB; expected text, one document a line (or #file)`,
    { code: 'corrupt', stage: 'source', path },
  );
}
