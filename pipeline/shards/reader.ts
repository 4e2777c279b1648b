import { type FileMetaData, parquetMetadataAsync, parquetRead, parquetSchema } from 'hyparquet';
import { getMaxDefinitionLevel, getMaxRepetitionLevel } from 'hyparquet/src/schema.js';
import { messageOf, TacoError } from '../errors.ts';
import { checkPages, DamagedPage, decodeListPage } from './list-page.ts';
import { DamagedShard, localShard, type ShardSource } from './shard-source.ts';

/** Rows of a row group in memory. Half the size where the vocabulary allows. */
export interface TokenRows {
  readonly numRows: number;
  /** [numRows * maxSeqLen] */
  readonly ids: Uint16Array | Int32Array;
}

/** What a shard must be, from the manifest. */
export interface ShardExpectation {
  /** Where it lies; on the Hub, how messages call it. */
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

/** A row group and the bytes it came from. */
export interface DecodedGroup {
  readonly rows: TokenRows;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A part of the file in memory, from byte `start` on. */
interface HeldBytes {
  readonly start: number;
  readonly chunk: Uint8Array<ArrayBuffer>;
}

const COLUMN = 'input_ids';
const FOOTER_FETCH_BYTES = 64 << 10;

/** One shard, read a row group at a time. The footer is read once. */
export class ShardReader {
  readonly #shard: ShardExpectation;
  readonly #source: ShardSource;
  #index: Promise<ShardIndex> | undefined;

  /** @param source where its bytes are, the file at `shard.path` unless given */
  constructor(shard: ShardExpectation, source: ShardSource = localShard(shard.path)) {
    this.#shard = shard;
    this.#source = source;
  }

  /**
   * @param group row group within the shard
   * @throws TacoError `not-found`, `disk`, `network`, or `corrupt` naming file and offset
   */
  async readGroup(group: number): Promise<TokenRows> {
    const { start, end } = await this.rangeOf(group);
    return (await this.decodeGroup(group, await this.#source.read(start, end))).rows;
  }

  get numGroups(): number {
    return Math.ceil(this.#shard.rows / this.#shard.rowsPerGroup);
  }

  /** Bytes [start, end) as they are. @throws as `readGroup` */
  readBytes(start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    return this.#source.read(start, end);
  }

  /** Bytes [start, end) of the file that hold a row group. @throws as `readGroup` */
  async rangeOf(group: number): Promise<{ readonly start: number; readonly end: number }> {
    const { offsets, lengths } = await this.#openIndex();
    return { start: offsets[group]!, end: offsets[group]! + lengths[group]! };
  }

  /**
   * Decodes the bytes of a row group. Those from another machine that turn out damaged are fetched once more:
   * the way may have spoilt them.
   * @returns the rows, and the bytes they were decoded from
   * @throws as `readGroup`
   */
  async decodeGroup(group: number, bytes: Uint8Array<ArrayBuffer>): Promise<DecodedGroup> {
    try {
      return { rows: await this.#decode(group, bytes), bytes };
    } catch (error) {
      if (!this.#source.isRemote || !(error instanceof DamagedShard)) throw error;
    }
    const { start, end } = await this.rangeOf(group);
    const again = await this.#source.read(start, end);
    return { rows: await this.#decode(group, again), bytes: again };
  }

  async #decode(group: number, chunk: Uint8Array<ArrayBuffer>): Promise<TokenRows> {
    const { rows, rowsPerGroup, maxSeqLen } = this.#shard;
    const { offsets, codec, maxRepetition, maxDefinition } = await this.#openIndex();
    const start = offsets[group]!;
    const numRows = Math.min(rowsPerGroup, rows - group * rowsPerGroup);
    const layout = { numRows, rowLength: maxSeqLen, codec, maxRepetition, maxDefinition };
    let ids: ArrayLike<unknown> | undefined;
    try {
      ids = decodeListPage(chunk, layout);
      if (ids === undefined) {
        checkPages(chunk, layout);
        ids = await this.#decodeOtherLayout(group, numRows, { start, chunk });
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
    for (let lastTry = !this.#source.isRemote; ; lastTry = true) {
      try {
        return this.#indexOf(await this.#readMetadata());
      } catch (error) {
        if (error instanceof TacoError) throw error;
        if (lastTry) throw this.#damaged(`in the footer, before byte ${bytes}: ${messageOf(error)}`, error);
      }
    }
  }

  #readMetadata(): Promise<FileMetaData> {
    const options = { initialFetchSize: FOOTER_FETCH_BYTES, geoparquet: false };
    return parquetMetadataAsync(this.#asyncBuffer(), options);
  }

  #indexOf(metadata: FileMetaData): ShardIndex {
    const { rows, rowsPerGroup, bytes } = this.#shard;
    const groups = metadata.row_groups;
    const { numGroups } = this;
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
      const previousEnd = i === 0 ? 4 : offsets[i - 1]! + lengths[i - 1]!;
      if (column.type !== 'INT32' || !(start >= previousEnd && length > 0 && start + length <= bytes)) {
        throw new Error(`row group ${i} is not of ids behind the one before, within the file`);
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
  async #decodeOtherLayout(group: number, numRows: number, held: HeldBytes): Promise<unknown[]> {
    const { rowsPerGroup, maxSeqLen } = this.#shard;
    const { compressors } = await import('hyparquet-compressors');
    const ids: unknown[] = [];
    await parquetRead({
      file: this.#asyncBuffer(held),
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

  /** The file as hyparquet reads it; what is in memory already is not read again. */
  #asyncBuffer(held?: HeldBytes): {
    byteLength: number;
    slice: (start: number, end?: number) => Promise<ArrayBuffer>;
  } {
    const { bytes } = this.#shard;
    return {
      byteLength: bytes,
      slice: async (start, end = bytes) => {
        const offset = held === undefined ? -1 : start - held.start;
        const isHeld = held !== undefined && offset >= 0 && end <= held.start + held.chunk.length;
        const part = isHeld
          ? held.chunk.subarray(offset, offset + end - start)
          : await this.#source.read(start, end);
        return part.buffer.slice(part.byteOffset, part.byteOffset + part.byteLength);
      },
    };
  }

  #damaged(what: string, cause?: unknown): DamagedShard {
    return new DamagedShard(this.#shard.path, what, this.#source.remedy, cause);
  }
}
