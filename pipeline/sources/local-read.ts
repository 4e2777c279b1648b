import { ownMemory, SpareMemory } from '../spare-memory.ts';
import type { SourceCursor } from '../types.ts';
import { type ByteFile, openLocalFile } from './byte-file.ts';
import { chunkDocuments, type DocumentBatch } from './chunker.ts';
import { isBlank, textOfJsonLine } from './json-lines.ts';
import { type LineBatch, readLines, readWhole } from './lines.ts';
import type { LocalFormat } from './local-format.ts';
import { requireState } from './local-state.ts';
import {
  MAX_SPARE_RANGES,
  openParquet,
  type ParquetFacts,
  type ParquetFile,
  readParquetFiles,
} from './parquet.ts';
import type { SourceChunk } from './source.ts';

/** Consecutive files of one kind, read together: chunks of lines reach across files. */
interface FileRun {
  readonly isParquet: boolean;
  readonly start: number;
  readonly end: number;
}

function runsOf(formats: readonly LocalFormat[]): readonly FileRun[] {
  const runs: FileRun[] = [];
  for (const [index, { kind }] of formats.entries()) {
    const isParquet = kind === 'parquet';
    const last = runs.at(-1);
    if (last?.isParquet === isParquet) runs[runs.length - 1] = { ...last, end: index + 1 };
    else runs.push({ isParquet, start: index, end: index + 1 });
  }
  return runs;
}

type TextFormat = Exclude<LocalFormat, { kind: 'parquet' }>;

export interface LocalFiles {
  /** Absolute. */
  readonly paths: readonly string[];
  readonly formats: readonly LocalFormat[];
  readonly sizesBytes: readonly number[];
  /** `stateOf` each when it was pinned. */
  readonly states: readonly string[];
  /** What the footers of some Parquet files said then. */
  readonly footers: ReadonlyMap<number, ParquetFacts>;
}

/**
 * Documents of local files from a cursor on.
 * @throws TacoError `mismatch` when a file changes meanwhile, and what is wrong with its content
 */
export async function* readLocalFiles(files: LocalFiles, from: SourceCursor): AsyncGenerator<SourceChunk> {
  const { formats, sizesBytes } = files;
  const memory = new SpareMemory(ownMemory, MAX_SPARE_RANGES);
  for (const { isParquet, start, end } of runsOf(formats)) {
    if (end <= from.file) continue;
    const cursor = from.file >= start ? from : { file: start, group: 0, row: 0 };
    if (isParquet) {
      yield* readParquetFiles(
        {
          sizesBytes: sizesBytes.slice(0, end),
          open: (index) => openOne(files, index, memory),
        },
        cursor,
      );
    } else {
      const totalBytes = sizesBytes.slice(0, end).reduce((sum, size) => sum + size, 0);
      yield* chunkDocuments(readTexts(files, cursor, end), {
        cursor: { file: end, group: 0, row: 0 },
        totalBytes,
      });
    }
  }
}

async function openOne(
  { paths, formats, states, footers }: LocalFiles,
  index: number,
  memory: SpareMemory<ArrayBuffer>,
): Promise<ParquetFile> {
  const path = paths[index]!;
  const state = states[index]!;
  const footer = footers.get(index);
  if (footer !== undefined) await requireState(path, state);
  const file = watched(await openLocalFile(path, memory), state);
  return footer === undefined ? openParquet(file, columnOf(formats[index]!)) : { ...footer, file };
}

/** A file whose content may only be what it was. */
function watched(file: ByteFile, state: string): ByteFile {
  return {
    ...file,
    async read(start, end) {
      const bytes = await file.read(start, end);
      await requireState(file.name, state);
      return bytes;
    },
  };
}

function columnOf(format: LocalFormat): string {
  if (format.kind !== 'parquet') throw new TypeError(`a ${format.kind} file has no column`);
  return format.column;
}

/** Documents of text and JSON lines files from a cursor to the file `end`, exclusive. */
async function* readTexts(
  { paths, formats, sizesBytes, states }: LocalFiles,
  from: SourceCursor,
  end: number,
): AsyncGenerator<DocumentBatch> {
  let bytesBefore = sizesBytes.slice(0, from.file).reduce((sum, size) => sum + size, 0);
  for (let index = from.file; index < end; index += 1) {
    const sizeBytes = sizesBytes[index]!;
    const cursor = index === from.file ? from : { file: index, group: 0, row: 0 };
    const format = formats[index]!;
    if (format.kind === 'parquet') throw new TypeError(`${paths[index]!} is no text file`);
    const path = paths[index]!;
    for await (const batch of readOne(path, format, cursor, { bytesBefore, sizeBytes })) {
      await requireState(path, states[index]!);
      yield batch;
    }
    await requireState(path, states[index]!);
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
  format: TextFormat,
  from: SourceCursor,
  extent: Extent,
): AsyncGenerator<DocumentBatch> {
  switch (format.kind) {
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

/** Documents of a JSON lines file from a cursor on. @throws TacoError `corrupt` or `bad-config` */
export function readJsonLines(
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
