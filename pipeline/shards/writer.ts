import { join } from 'node:path';
import parquet from 'parquetjs-lite';
import parquetTypes from 'parquetjs-lite/gen-nodejs/parquet_types.js';
import type { RowGroup } from '../pack.ts';
import { AtomicFile } from './atomic.ts';
import { rowGroup } from './row-group.ts';
import type { ManifestShard, Split } from './manifest.ts';
import { shardFile } from './manifest.ts';
import type { ListPages, ListRows } from './page.ts';

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
  /** @param groups whose ids are not the caller's any more */
  encode(groups: readonly ListRows[]): Promise<ListPages>;
  /** Memory for ids to be encoded. */
  memoryForRows?(numIds: number): RowGroup['ids'];
  /** Takes back the memory of pages that are written. */
  recycle?(pages: ListPages['bytes']): void;
}

/** Row groups are encoded and written several at a time: each time wakes three threads up. */
const MAX_GROUPS_AT_A_TIME = 8;
/** Long rows make large groups: fewer of those. */
const MAX_IDS_AT_A_TIME = 524_288;
/** Times under way, enough that no thread waits for another. */
export const MAX_TIMES_UNDER_WAY = 8;
/** Row groups that are being encoded or wait to be written, at most. */
export const MAX_GROUPS_UNDER_WAY = MAX_GROUPS_AT_A_TIME * MAX_TIMES_UNDER_WAY;

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
  /** Groups that wait until they are enough to be encoded. */
  #waiting: ListRows[] = [];
  #numWaitingIds = 0;
  /** Of those under way, the oldest first; each settles after the one before it. */
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
  async write({ ids, rows, tokens }: RowGroup): Promise<void> {
    this.#waiting.push({ ids, rows });
    this.#numWaitingIds += ids.length;
    this.#rows += rows;
    this.#tokens += tokens;
    if (this.#waiting.length < MAX_GROUPS_AT_A_TIME && this.#numWaitingIds < MAX_IDS_AT_A_TIME) return;
    this.#encodeWaiting();
    while (this.#underWay.length > MAX_TIMES_UNDER_WAY) await this.#underWay.shift();
  }

  #encodeWaiting(): void {
    if (this.#waiting.length === 0) return;
    const sizes = this.#waiting.map(({ ids, rows }) => ({ rows, numIds: ids.length }));
    const written = this.#append(this.#encoder.encode(this.#waiting), sizes, this.#underWay.at(-1));
    // Awaited later, in order; until then a failure must not count as unhandled.
    written.catch(() => undefined);
    this.#underWay.push(written);
    this.#waiting = [];
    this.#numWaitingIds = 0;
  }

  async #append(
    encoding: Promise<ListPages>,
    sizes: readonly GroupSize[],
    before: Promise<void> | undefined,
  ): Promise<void> {
    // Both at once: a failure of the encoding is noticed however long the one before takes.
    const [{ bytes, ends }] = await Promise.all([encoding, before]);
    // parquetjs-lite's own writeRowGroup copies a page three times, and knows neither this encoding nor the true sizes.
    const { offset, rowGroups } = this.#envelope;
    for (const [index, size] of sizes.entries()) {
      const start = index === 0 ? 0 : ends[index - 1]!;
      rowGroups.push(rowGroupOf(ends[index]! - start, offset + start, size));
      this.#envelope.rowCount += size.rows;
    }
    await this.#envelope.writeSection(bytes);
    this.#encoder.recycle?.(bytes);
  }

  /** Writes the footer and puts the file under its final name. @throws TacoError `disk` */
  async finish(): Promise<WrittenShard> {
    this.#encodeWaiting();
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

interface GroupSize {
  readonly rows: number;
  readonly numIds: number;
}

/** Metadata of a row group that is one page at `offset`. */
function rowGroupOf(pageBytes: number, offset: number, { rows, numIds }: GroupSize): parquetTypes.RowGroup {
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
