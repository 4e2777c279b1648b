import { join } from 'node:path';
import parquet from 'parquetjs-lite';
import type { RowGroup } from '../pack.ts';
import { AtomicFile } from './atomic.ts';
import type { ManifestShard, Split } from './manifest.ts';
import { shardFile } from './manifest.ts';

/** Path of the only leaf column, as parquetjs-lite keys it. */
const leafPath = 'input_ids,list,element';

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

// parquetjs-lite knows no such encoding; it only copies the name into the column's metadata.
for (const field of schema.fieldList) field.encoding = 'DELTA_BINARY_PACKED';

/**
 * Makes the page of a row group, perhaps in another thread, which `ids` is then moved to.
 * @param ids [rows * maxSeqLen]
 * @returns the page with its header
 */
export type PageEncoder = (ids: Int32Array<ArrayBuffer>, rows: number) => Promise<Uint8Array>;

/** Row groups that are being encoded or wait to be written: enough that no thread waits for another. */
const MAX_GROUPS_UNDER_WAY = 8;

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
  readonly #encode: PageEncoder;
  readonly #envelope: InstanceType<typeof parquet.ParquetEnvelopeWriter>;
  /** Groups under way, the oldest first; each settles after the one before it. */
  readonly #underWay: Promise<void>[] = [];
  #rows = 0;
  #tokens = 0;

  private constructor(split: Split, name: string, file: AtomicFile, encode: PageEncoder) {
    this.#split = split;
    this.#name = name;
    this.#file = file;
    this.#encode = encode;
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
    encode: PageEncoder,
  ): Promise<ShardWriter> {
    const name = shardFile(split, index);
    const file = await AtomicFile.create(join(folder, ...name.split('/')));
    const writer = new ShardWriter(split, name, file, encode);
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
    const page = this.#encode(group.ids, group.rows);
    const written = this.#append(page, size, this.#underWay.at(-1));
    // Awaited later, in order; until then a failure must not count as unhandled.
    written.catch(() => undefined);
    this.#underWay.push(written);
    this.#rows += group.rows;
    this.#tokens += group.tokens;
    while (this.#underWay.length > MAX_GROUPS_UNDER_WAY) await this.#underWay.shift();
  }

  async #append(
    encoding: Promise<Uint8Array>,
    { rows, numIds }: { readonly rows: number; readonly numIds: number },
    before: Promise<void> | undefined,
  ): Promise<void> {
    // Both at once: a failure of the encoding is noticed however long the one before takes.
    const [page] = await Promise.all([encoding, before]);
    const encoded = { page, num_values: numIds, first_row_index: 0 };
    await this.#envelope.writeRowGroup({ rowCount: rows, pages: { [leafPath]: [encoded] } });
    // parquetjs-lite counts its copy of the metadata in.
    this.#envelope.rowGroups.at(-1)!.total_byte_size = page.length;
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
