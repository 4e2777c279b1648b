import { join } from 'node:path';
import parquet from 'parquetjs-lite';
import parquetTypes from 'parquetjs-lite/gen-nodejs/parquet_types.js';
import type { RowGroup } from '../pack.ts';
import { AtomicFile } from './atomic.ts';
import { rowGroup } from './row-group.ts';
import type { ManifestShard, Split } from './manifest.ts';
import { shardFile } from './manifest.ts';

const schema = new parquet.ParquetSchema({
  input_ids: {
    type: 'LIST',
    fields: {
      list: {
        repeated: true,
        fields: { element: { type: 'INT32', compression: 'UNCOMPRESSED', statistics: false } },
      },
    },
  },
});

/** Path of the only leaf column. */
const leafPath = ['input_ids', 'list', 'element'];

/** Makes the pages of row groups, perhaps in other threads. */
export interface PageEncoder {
  /**
   * @param ids [rows * maxSeqLen]; not the caller's any more
   * @returns the page with its header
   */
  encode(ids: RowGroup['ids'], rows: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Memory for ids to be encoded. */
  memoryForRows?(numIds: number): RowGroup['ids'];
  /** Takes back the memory of a page that is written. */
  recycle?(page: Uint8Array<ArrayBuffer>): void;
}

/** Row groups that are being encoded or wait to be written: enough that no thread waits for another. */
export const MAX_GROUPS_UNDER_WAY = 8;

/** A shard's own facts; where it ends is the committer's knowledge. */
export type WrittenShard = Omit<ManifestShard, 'end'>;

/**
 * One Parquet file with the column `input_ids`, `list<int32>`, one row group at a time. The same rows give the
 * same bytes. Nothing is under the final name before `finish`.
 */
export class ShardWriter {
  readonly #split: Split;
  readonly #name: string;
  readonly #file: AtomicFile;
  readonly #encoder: PageEncoder;
  readonly #envelope: InstanceType<typeof parquet.ParquetEnvelopeWriter>;
  /** Groups under way, the oldest first; each settles after the one before it. */
  readonly #underWay: Promise<void>[] = [];
  #rows = 0;
  #tokens = 0;

  private constructor(split: Split, name: string, file: AtomicFile, encoder: PageEncoder) {
    this.#split = split;
    this.#name = name;
    this.#file = file;
    this.#encoder = encoder;
    this.#envelope = new parquet.ParquetEnvelopeWriter(
      schema,
      (bytes) => file.write(bytes),
      () => Promise.resolve(),
      0,
      { useDataPageV2: true, pageIndex: false },
    );
  }

  /** @param folder the dataset's; its folder for the split exists @throws TacoError `disk` */
  static async create(
    folder: string,
    split: Split,
    index: number,
    encoder: PageEncoder,
  ): Promise<ShardWriter> {
    const name = shardFile(split, index);
    const file = await AtomicFile.create(join(folder, ...name.split('/')));
    const writer = new ShardWriter(split, name, file, encoder);
    try {
      await writer.#envelope.writeHeader();
    } catch (error) {
      await writer.discard();
      throw error;
    }
    return writer;
  }

  /** Rows taken so far. */
  get rows(): number {
    return this.#rows;
  }

  /**
   * Takes one row group, whose `ids` are not the caller's any more. Settles as soon as there is room for another.
   * @throws TacoError `disk`, of this group or of one before it
   */
  async write(group: RowGroup): Promise<void> {
    const size = { rows: group.rows, numIds: group.ids.length };
    const page = this.#encoder.encode(group.ids, group.rows);
    const written = this.#append(page, size, this.#underWay.at(-1));
    // Awaited later, in order; until then a failure must not count as unhandled.
    written.catch(() => undefined);
    this.#underWay.push(written);
    this.#rows += group.rows;
    this.#tokens += group.tokens;
    while (this.#underWay.length > MAX_GROUPS_UNDER_WAY) await this.#underWay.shift();
  }

  async #append(
    encoding: ReturnType<PageEncoder['encode']>,
    { rows, numIds }: { readonly rows: number; readonly numIds: number },
    before: Promise<void> | undefined,
  ): Promise<void> {
    // Both at once: a failure of the encoding is noticed however long the one before takes.
    const [page] = await Promise.all([encoding, before]);
    // parquetjs-lite's own writeRowGroup copies a page three times, and knows neither this encoding nor the true sizes.
    this.#envelope.rowGroups.push(rowGroupOf(page.length, this.#envelope.offset, { rows, numIds }));
    this.#envelope.rowCount += rows;
    await this.#envelope.writeSection(page);
    this.#encoder.recycle?.(page);
  }

  /** Writes the footer and puts the file under its final name. @throws TacoError `disk` */
  async finish(): Promise<WrittenShard> {
    await Promise.all(this.#underWay);
    await this.#envelope.writeFooter({});
    const { bytes, sha256 } = await this.#file.commit();
    return { split: this.#split, file: this.#name, rows: this.#rows, tokens: this.#tokens, bytes, sha256 };
  }

  /** Gives the shard up and removes what was written. */
  async discard(): Promise<void> {
    await Promise.allSettled(this.#underWay);
    await this.#file.discard();
  }
}

/** Metadata of a row group that is one page at `offset`. */
function rowGroupOf(
  pageBytes: number,
  offset: number,
  { rows, numIds }: { readonly rows: number; readonly numIds: number },
): parquetTypes.RowGroup {
  const { Encoding, Type } = parquetTypes;
  return rowGroup(rows, [
    {
      type: Type.INT32,
      encodings: [Encoding.RLE, Encoding.DELTA_BINARY_PACKED],
      path: leafPath,
      numValues: numIds,
      pageBytes,
      offset,
    },
  ]);
}
