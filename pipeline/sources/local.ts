import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { glob } from 'tinyglobby';
import { TacoError } from '../errors.ts';
import type { SourceCursor } from '../types.ts';
import { localError, openLocalFile } from './byte-file.ts';
import { chunkDocuments, type DocumentBatch } from './chunker.ts';
import { isBlank, textOfJsonLine } from './json-lines.ts';
import { type LineBatch, readLines, readWhole } from './lines.ts';
import { formatOf, hasKnownExtension, type LocalFormat } from './local-format.ts';
import { openParquet, readParquetFiles } from './parquet.ts';
import { START, type Source, type SourceContext, type SourceFile } from './source.ts';
import { DEFAULT_COLUMN, type FileSpec } from './spec.ts';

/** Files up to this size are pinned by their content, larger ones by size and time of change. */
const MAX_HASHED_BYTES = 64 * 1024 * 1024;

/**
 * Finds local files, in the order of their paths' code units, and pins them.
 * @throws TacoError `not-found` when nothing matches, `bad-config` for unknown formats
 */
export async function resolveLocal(spec: FileSpec, context: SourceContext): Promise<Source> {
  const folder = resolve(context.workingFolder ?? '.');
  const paths = await findFiles(spec, folder);
  const formats = paths.map((path) => formatOf(path, spec.selector));
  const absolute = paths.map((path) => resolve(folder, path));
  // Before the digests: what changes from here on is noticed when it is read.
  const states = await Promise.all(absolute.map(stateOf));
  const files = await Promise.all(paths.map((path, index) => describe(path, absolute[index]!)));
  const totalBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  const column = spec.selector ?? (formats.some(({ kind }) => kind === 'lines') ? 'lines' : DEFAULT_COLUMN);
  const end = { cursor: { file: files.length, group: 0, row: 0 }, totalBytes };
  for (const [index, format] of formats.entries()) await checkColumn(format, absolute[index]!);
  return {
    identity: {
      spec: spec.text,
      kind: 'file',
      column,
      ...(spec.weight === undefined ? {} : { weight: spec.weight }),
      files,
    },
    totalBytes,
    read: (from) => chunkDocuments(readFiles(absolute, formats, { files, states }, from), end),
  };
}

async function findFiles({ pattern, text }: FileSpec, folder: string): Promise<readonly string[]> {
  const status = await stat(resolve(folder, pattern)).catch(() => undefined);
  if (status?.isFile() === true) return [pattern];
  const isFolder = status?.isDirectory() === true;
  const found = await glob(isFolder ? '**/*' : pattern, {
    cwd: isFolder ? resolve(folder, pattern) : folder,
    expandDirectories: false,
    onlyFiles: true,
  });
  const paths = isFolder
    ? found.filter(hasKnownExtension).map((path) => `${pattern.replace(/\/+$/, '')}/${path}`)
    : found;
  if (paths.length === 0) {
    throw new TacoError(
      `--source ${text} matches no file in ${folder}; check the path or quote the pattern`,
      {
        code: 'not-found',
        stage: 'source',
        path: pattern,
      },
    );
  }
  return paths.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

async function describe(path: string, absolute: string): Promise<SourceFile> {
  try {
    const { size, mtimeMs } = await stat(absolute);
    if (size > MAX_HASHED_BYTES) {
      return { path, sizeBytes: size, digest: `size-mtime:${size}-${Math.floor(mtimeMs)}` };
    }
    const hash = createHash('sha256');
    await pipeline(createReadStream(absolute), hash);
    return { path, sizeBytes: size, digest: `sha256:${hash.digest('hex')}` };
  } catch (error) {
    throw localError(path, error);
  }
}

/** Changes whenever the file is written to or replaced. @throws TacoError `not-found` or `disk` */
async function stateOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs } = await stat(path, { bigint: true });
    return [ino, size, mtimeNs].join(' ');
  } catch (error) {
    throw localError(path, error);
  }
}

/** @throws TacoError `mismatch`: rows of two contents in one dataset would be of neither */
async function requireState(path: string, state: string): Promise<void> {
  if ((await stateOf(path)) === state) return;
  throw new TacoError(
    `${path} was changed while it was being read; put it back and run the same command again, or prepare the new one in another folder`,
    { code: 'mismatch', stage: 'source', path },
  );
}

/** A wrong column or field is told before hours of work, not at the first read. */
async function checkColumn(format: LocalFormat, path: string): Promise<void> {
  if (format.kind === 'jsonl') {
    // The first batch with a document is enough.
    for await (const { documents } of readJsonLines(path, format, START, { bytesBefore: 0, sizeBytes: 0 })) {
      if (documents.some((document) => document !== null)) return;
    }
  }
  if (format.kind !== 'parquet') return;
  const file = await openLocalFile(path);
  try {
    await openParquet(file, format.column);
  } finally {
    await file.close();
  }
}

async function* readFiles(
  paths: readonly string[],
  formats: readonly LocalFormat[],
  { files, states }: { readonly files: readonly SourceFile[]; readonly states: readonly string[] },
  from: SourceCursor,
): AsyncGenerator<DocumentBatch> {
  let bytesBefore = 0;
  for (const [index, path] of paths.entries()) {
    const { sizeBytes } = files[index]!;
    if (index >= from.file) {
      const cursor = index === from.file ? from : { file: index, group: 0, row: 0 };
      for await (const batch of readOne(path, formats[index]!, cursor, { bytesBefore, sizeBytes })) {
        await requireState(path, states[index]!);
        yield batch;
      }
      await requireState(path, states[index]!);
    }
    bytesBefore += sizeBytes;
  }
}

interface Extent {
  /** Bytes of the files before this one. */
  readonly bytesBefore: number;
  readonly sizeBytes: number;
}

async function* readOne(
  path: string,
  format: LocalFormat,
  from: SourceCursor,
  extent: Extent,
): AsyncGenerator<DocumentBatch> {
  switch (format.kind) {
    case 'parquet':
      yield* readOneParquet(path, format.column, from, extent);
      return;
    case 'whole': {
      const end = extent.bytesBefore + extent.sizeBytes;
      yield {
        documents: [await readWhole(path, format.compression)],
        cursorAfter: () => ({ file: from.file + 1, group: 0, row: 0 }),
        inputBytesAfter: () => end,
      };
      return;
    }
    case 'lines':
      yield* readFromLine(readLines(path, format.compression), from, extent, (line) => line);
      return;
    case 'jsonl':
      yield* readJsonLines(path, format, from, extent);
  }
}

function readJsonLines(
  path: string,
  { compression, field }: Extract<LocalFormat, { kind: 'jsonl' }>,
  from: SourceCursor,
  extent: Extent,
): AsyncGenerator<DocumentBatch> {
  return readFromLine(readLines(path, compression), from, extent, (line, number) =>
    isBlank(line) ? null : textOfJsonLine(line, field, () => `${path}:${number}`),
  );
}

/** Lines behind the cursor; earlier ones are only counted. */
async function* readFromLine(
  batches: AsyncIterable<LineBatch>,
  from: SourceCursor,
  { bytesBefore }: Extent,
  textOf: (line: Uint8Array, number: number) => Uint8Array | null,
): AsyncGenerator<DocumentBatch> {
  let row = 0;
  for await (const { lines, storedBytes } of batches) {
    const skipped = Math.min(Math.max(0, from.row - row), lines.length);
    const firstRow = row + skipped;
    row += lines.length;
    if (skipped === lines.length) continue;
    yield {
      documents: lines.slice(skipped).map((line, index) => textOf(line, firstRow + index + 1)),
      cursorAfter: (count) => ({ file: from.file, group: 0, row: firstRow + count }),
      inputBytesAfter: () => bytesBefore + storedBytes,
    };
  }
}

async function* readOneParquet(
  path: string,
  column: string,
  from: SourceCursor,
  { bytesBefore, sizeBytes }: Extent,
): AsyncGenerator<DocumentBatch> {
  const open = async () => openParquet(await openLocalFile(path), column);
  const batches = readParquetFiles({ column, sizesBytes: [sizeBytes], open }, { ...from, file: 0 });
  for await (const batch of batches) {
    yield {
      documents: batch.documents,
      cursorAfter: (count) => {
        const cursor = batch.cursorAfter(count);
        return { ...cursor, file: cursor.file + from.file };
      },
      inputBytesAfter: (count) => bytesBefore + batch.inputBytesAfter(count),
    };
  }
}
