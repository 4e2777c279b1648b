import { open } from 'node:fs/promises';
import { type FileMetaData, parquetMetadataAsync, parquetRead, parquetSchema } from 'hyparquet';
import { getMaxDefinitionLevel, getMaxRepetitionLevel } from 'hyparquet/src/schema.js';
import { messageOf, systemCodeOf, TacoError } from '../errors.ts';
import { checkPages, DamagedPage, decodeListPage } from './list-page.ts';

/** Rows of a row group in memory. Half the size where the vocabulary allows. */
export interface TokenRows {
  readonly numRows: number;
  /** [numRows * maxSeqLen] */
  readonly ids: Uint16Array | Int32Array;
}

/** What a shard must be, from the manifest. */
export interface ShardExpectation {
  readonly path: string;
  readonly rows: number;
  readonly bytes: number;
  readonly rowsPerGroup: number;
  readonly maxSeqLen: number;
  readonly vocabSize: number;
}

/** Where the row groups of a shard lie: 12 bytes each, so that all shards of a dataset can stay known. */
interface ShardIndex {
  readonly offsets: Float64Array;
  readonly lengths: Uint32Array;
  readonly codec: string;
  readonly maxRepetition: number;
  readonly maxDefinition: number;
}

const COLUMN = 'input_ids';
const FOOTER_FETCH_BYTES = 64 << 10;

/**
 * One shard, read a row group at a time. The footer is read once; files are open only while they are read, so
 * a dataset of any number of shards needs no handles.
 */
export class ShardReader {
  readonly #shard: ShardExpectation;
  #index: Promise<ShardIndex> | undefined;

  constructor(shard: ShardExpectation) {
    this.#shard = shard;
  }

  /**
   * @param group row group within the shard
   * @throws TacoError `not-found`, `disk`, or `corrupt` naming file and offset
   */
  async readGroup(group: number): Promise<TokenRows> {
    const { rows, rowsPerGroup, maxSeqLen } = this.#shard;
    const { offsets, lengths, codec, maxRepetition, maxDefinition } = await this.#openIndex();
    const start = offsets[group]!;
    const numRows = Math.min(rowsPerGroup, rows - group * rowsPerGroup);
    const chunk = new Uint8Array(await this.#readBytes(start, start + lengths[group]!));
    const layout = { numRows, rowLength: maxSeqLen, codec, maxRepetition, maxDefinition };
    let ids: ArrayLike<unknown> | undefined;
    try {
      ids = decodeListPage(chunk, layout);
      if (ids === undefined) {
        checkPages(chunk, layout);
        ids = await this.#decodeOtherLayout(group, numRows);
      }
    } catch (error) {
      if (error instanceof TacoError) throw error;
      const offset = start + (error instanceof DamagedPage ? error.offset : 0);
      throw this.#damaged(`at byte ${offset}, row group ${group}: ${messageOf(error)}`, error);
    }
    return { numRows, ids: this.#checkedIds(ids, start, group) };
  }

  #openIndex(): Promise<ShardIndex> {
    this.#index ??= this.#readIndex().catch((error: unknown) => {
      this.#index = undefined; // a later attempt may fare better
      throw error;
    });
    return this.#index;
  }

  async #readIndex(): Promise<ShardIndex> {
    const { bytes } = this.#shard;
    try {
      return this.#indexOf(await this.#readMetadata());
    } catch (error) {
      if (error instanceof TacoError) throw error;
      throw this.#damaged(`in the footer, before byte ${bytes}: ${messageOf(error)}`, error);
    }
  }

  #readMetadata(): Promise<FileMetaData> {
    const options = { initialFetchSize: FOOTER_FETCH_BYTES, geoparquet: false };
    return parquetMetadataAsync(this.#asyncBuffer(), options);
  }

  #indexOf(metadata: FileMetaData): ShardIndex {
    const { rows, rowsPerGroup, bytes } = this.#shard;
    const groups = metadata.row_groups;
    const numGroups = Math.ceil(rows / rowsPerGroup);
    if (groups.length !== numGroups) {
      throw new Error(`${groups.length} row groups, expected ${numGroups} of ${rowsPerGroup} rows`);
    }
    const offsets = new Float64Array(numGroups);
    const lengths = new Uint32Array(numGroups);
    const codecs = new Set<string>();
    for (const [i, group] of groups.entries()) {
      const expectedRows = Math.min(rowsPerGroup, rows - i * rowsPerGroup);
      const column = group.columns.find(
        ({ meta_data }) => meta_data?.path_in_schema[0] === COLUMN,
      )?.meta_data;
      if (column === undefined) throw new Error(`no column ${COLUMN} in row group ${i}`);
      if (Number(group.num_rows) !== expectedRows) {
        throw new Error(`${Number(group.num_rows)} rows in row group ${i}, expected ${expectedRows}`);
      }
      const start = Number(column.dictionary_page_offset ?? column.data_page_offset);
      const length = Number(column.total_compressed_size);
      if (column.type !== 'INT32' || !(start >= 4 && length > 0 && start + length <= bytes)) {
        throw new Error(`row group ${i} is not of ids within the file`);
      }
      offsets[i] = start;
      lengths[i] = length;
      codecs.add(column.codec);
    }
    const field = parquetSchema(metadata).children.find(({ element }) => element.name === COLUMN);
    const path = [parquetSchema(metadata)];
    for (let node = field; node !== undefined; node = node.children[0]) path.push(node);
    return {
      offsets,
      lengths,
      codec: codecs.size === 1 ? [...codecs][0]! : 'mixed',
      maxRepetition: getMaxRepetitionLevel(path),
      maxDefinition: getMaxDefinitionLevel(path),
    };
  }

  /** Dictionaries, several pages, other codecs: shards that another program has rewritten. */
  async #decodeOtherLayout(group: number, numRows: number): Promise<unknown[]> {
    const { rowsPerGroup, maxSeqLen } = this.#shard;
    const { compressors } = await import('hyparquet-compressors');
    const ids: unknown[] = [];
    await parquetRead({
      file: this.#asyncBuffer(),
      metadata: await this.#readMetadata(),
      columns: [COLUMN],
      rowStart: group * rowsPerGroup,
      rowEnd: group * rowsPerGroup + numRows,
      compressors,
      onComplete: (rows: unknown[][]) => {
        for (const [row, [list]] of rows.entries()) {
          const length = Array.isArray(list) ? list.length : 0;
          if (!Array.isArray(list) || length !== maxSeqLen) {
            throw new Error(`row ${row} has ${length} ids, expected ${maxSeqLen}`);
          }
          for (const id of list) ids.push(id);
        }
      },
    });
    if (ids.length !== numRows * maxSeqLen)
      throw new Error(`${ids.length} ids, expected ${numRows * maxSeqLen}`);
    return ids;
  }

  #checkedIds(ids: ArrayLike<unknown>, start: number, group: number): TokenRows['ids'] {
    const { vocabSize } = this.#shard;
    const checked = vocabSize <= 0x1_0000 ? new Uint16Array(ids.length) : new Int32Array(ids.length);
    for (let i = 0; i < ids.length; i += 1) {
      const id = ids[i];
      if (typeof id !== 'number' || id < 0 || id >= vocabSize) {
        throw this.#damaged(
          `at byte ${start}, row group ${group}: id ${String(id)}, expected one below ${vocabSize}`,
        );
      }
      checked[i] = id;
    }
    return checked;
  }

  #asyncBuffer(): { byteLength: number; slice: (start: number, end?: number) => Promise<ArrayBuffer> } {
    const { bytes } = this.#shard;
    return { byteLength: bytes, slice: (start, end = bytes) => this.#readBytes(start, end) };
  }

  async #readBytes(start: number, end: number): Promise<ArrayBuffer> {
    const { path } = this.#shard;
    const buffer = new ArrayBuffer(end - start);
    try {
      const handle = await open(path, 'r');
      try {
        let filled = 0;
        while (filled < buffer.byteLength) {
          const view = new Uint8Array(buffer, filled);
          const { bytesRead } = await handle.read(view, 0, view.length, start + filled);
          if (bytesRead === 0) {
            throw this.#damaged(`at byte ${start + filled}: the file ends there, expected ${end} bytes`);
          }
          filled += bytesRead;
        }
      } finally {
        await handle.close();
      }
    } catch (error) {
      throw readError(path, error);
    }
    return buffer;
  }

  #damaged(what: string, cause?: unknown): TacoError {
    const { path } = this.#shard;
    return damagedShard(path, what, cause);
  }
}

/** A shard that is not what the manifest says. */
export function damagedShard(path: string, what: string, cause?: unknown): TacoError {
  return new TacoError(
    `${path} is damaged ${what}; run prepare-data for this folder again: it makes such shards anew`,
    { code: 'corrupt', stage: 'shards', path, cause },
  );
}

/** What the file system said about a shard. */
export function readError(path: string, error: unknown): TacoError {
  if (error instanceof TacoError) return error;
  if (systemCodeOf(error) === 'ENOENT') {
    return new TacoError(
      `${path} is missing, the manifest lists it; run prepare-data for this folder again: it makes such shards anew`,
      { code: 'not-found', stage: 'shards', path, cause: error },
    );
  }
  return new TacoError(`cannot read ${path}: ${messageOf(error)}`, {
    code: 'disk',
    stage: 'shards',
    path,
    cause: error,
  });
}
