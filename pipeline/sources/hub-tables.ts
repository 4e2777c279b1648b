import { parquetMetadataAsync, parquetReadObjects, parquetSchema } from 'hyparquet';
import { TacoError } from '../errors.ts';
import type { ByteFile } from './byte-file.ts';
import { openCachedFile } from './hub-cache.ts';
import { createHub, type Hub, type HubRepository } from './hub-client.ts';
import { brokenParquet } from './parquet.ts';
import type { SourceContext, SourceFile } from './source.ts';

/** One row of a table: values as hyparquet gives them, whole numbers of 64 bits as bigint. */
export type TableRow = Readonly<Record<string, unknown>>;

/** Parquet tables of a dataset's repository that are small enough to be held in memory, at one commit. */
export interface HubTables {
  readonly repository: string;
  readonly commit: string;
  /** Files below a folder; none where there is no such folder. */
  list(folder: string): Promise<readonly SourceFile[]>;
  /**
   * All rows of a file.
   * @param columns to read; the others are not fetched
   * @throws TacoError `not-found` naming file and column, `corrupt` for a file that is no Parquet
   */
  read(file: SourceFile, columns: readonly string[]): Promise<readonly TableRow[]>;
}

/**
 * Resolves a dataset's revision to a commit, once. With `context.cacheFolder` files are kept there whole.
 * @throws TacoError when the dataset or the revision is missing, gated or private
 */
export async function openHubTables(
  name: string,
  revision: string,
  context: SourceContext,
  hub: Hub = createHub(context),
): Promise<HubTables> {
  const repository: HubRepository = { type: 'dataset', name };
  const commit = await hub.resolveCommit(repository, revision);
  const { cacheFolder } = context;
  const open = (file: SourceFile): ByteFile =>
    cacheFolder === undefined
      ? hub.openFile(repository, commit, file)
      : openCachedFile(hub, repository, commit, file, { ...context, cacheFolder });
  return {
    repository: name,
    commit,
    list: async (folder) => (await hub.listFiles(repository, commit, folder)) ?? [],
    async read(listed, columns) {
      const file = open(listed);
      try {
        return await readTable(file, columns, context.signal);
      } finally {
        await file.close();
      }
    },
  };
}

async function readTable(
  file: ByteFile,
  columns: readonly string[],
  signal: AbortSignal | undefined,
): Promise<readonly TableRow[]> {
  const buffer = {
    byteLength: file.sizeBytes,
    slice: async (start: number, end = file.sizeBytes) => (await file.read(start, end)).buffer,
  };
  try {
    const metadata = await parquetMetadataAsync(buffer, { geoparquet: false });
    const names = parquetSchema(metadata).children.map(({ element }) => element.name);
    const missing = columns.find((column) => !names.includes(column));
    if (missing !== undefined) {
      throw new TacoError(`${file.name} has no column ${missing}; its columns are ${names.join(', ')}`, {
        code: 'not-found',
        stage: 'source',
        path: file.name,
      });
    }
    const { compressors } = await import('hyparquet-compressors');
    return await parquetReadObjects({ file: buffer, metadata, columns: [...columns], compressors });
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof TacoError) throw error;
    throw brokenParquet(file, error);
  }
}
