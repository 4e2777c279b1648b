import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import pLimit from 'p-limit';
import { glob } from 'tinyglobby';
import { TacoError } from '../errors.ts';
import { localError, openLocalFile } from './byte-file.ts';
import { FileHasher, type HashFile } from './file-hash.ts';
import { formatOf, hasKnownExtension, type LocalFormat } from './local-format.ts';
import { readJsonLines, readLocalFiles } from './local-read.ts';
import { stateOf } from './local-state.ts';
import { openParquet, type ParquetFacts } from './parquet.ts';
import { START, type Source, type SourceContext, type SourceFile } from './source.ts';
import { DEFAULT_COLUMN, type FileSpec } from './spec.ts';

/** Files up to this size are pinned by their content, larger ones by size and time of change. */
const MAX_HASHED_BYTES = 64 * 1024 * 1024;
/** Enough for any number of threads. */
const HASHED_AT_A_TIME = 64;
/** Row groups of which is kept until they are read where they lie: 80 bytes each, 13 thousand in a gigabyte of sentences. */
const MAX_KEPT_GROUPS = 131_072;

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
  const limit = pLimit(HASHED_AT_A_TIME);
  const hashFile = context.hashFile ?? ownThread();
  // Other threads hash meanwhile.
  const [files, footers] = await Promise.all([
    Promise.all(paths.map((path, index) => limit(() => describe(path, absolute[index]!, hashFile)))),
    checkColumns(formats, absolute),
  ]);
  const totalBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  const column = spec.selector ?? (formats.some(({ kind }) => kind === 'lines') ? 'lines' : DEFAULT_COLUMN);
  const sizesBytes = files.map((file) => file.sizeBytes);
  return {
    identity: {
      spec: spec.text,
      kind: 'file',
      column,
      ...(spec.weight === undefined ? {} : { weight: spec.weight }),
      files,
    },
    totalBytes,
    read: (from) => readLocalFiles({ paths: absolute, formats, sizesBytes, states, footers }, from),
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

async function describe(path: string, absolute: string, hashFile: HashFile): Promise<SourceFile> {
  const { size, mtimeMs } = await stat(absolute).catch((error: unknown) => {
    throw localError(path, error);
  });
  const digest =
    size > MAX_HASHED_BYTES
      ? `size-mtime:${size}-${Math.floor(mtimeMs)}`
      : `sha256:${await hashFile({ path: absolute, name: path, sizeBytes: size })}`;
  return { path, sizeBytes: size, digest };
}

function ownThread(): HashFile {
  const hasher = new FileHasher();
  return (file) =>
    new Promise((resolve) => {
      resolve(hasher.hash(file));
    });
}

/**
 * A wrong column or field is told before hours of work, not at the first read.
 * @returns of Parquet files what was found, as far as it is not too much
 */
async function checkColumns(
  formats: readonly LocalFormat[],
  paths: readonly string[],
): Promise<ReadonlyMap<number, ParquetFacts>> {
  const footers = new Map<number, ParquetFacts>();
  let numGroups = 0;
  for (const [index, format] of formats.entries()) {
    const footer = await checkColumn(format, paths[index]!);
    if (footer === undefined) continue;
    numGroups += footer.chunks.length;
    if (numGroups <= MAX_KEPT_GROUPS) footers.set(index, footer);
  }
  return footers;
}

async function checkColumn(format: LocalFormat, path: string): Promise<ParquetFacts | undefined> {
  if (format.kind === 'jsonl') {
    // The first batch with a document is enough.
    for await (const { documents } of readJsonLines(path, format, START, { bytesBefore: 0, sizeBytes: 0 })) {
      if (documents.some((document) => document !== null)) return undefined;
    }
  }
  if (format.kind !== 'parquet') return undefined;
  const { file, ...facts } = await openParquet(await openLocalFile(path), format.column);
  await file.close();
  return facts;
}
