import { join } from 'node:path';
import parquet from 'parquetjs-lite';
import type { RowGroup } from '../pack.ts';
import { AtomicFile } from './atomic.ts';
import type { ManifestShard, Split } from './manifest.ts';
import { shardFile } from './manifest.ts';
import { encodeListPage } from './page.ts';

/** Path of the only leaf column, as parquetjs-lite keys it. */
const leafPath = 'input_ids,list,element';

const schema = new parquet.ParquetSchema({
  input_ids: {
    type: 'LIST',
    fields: {
      list: {
        repeated: true,
        fields: { element: { type: 'INT32', compression: 'SNAPPY', statistics: false } },
      },
    },
  },
});

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
  readonly #envelope: InstanceType<typeof parquet.ParquetEnvelopeWriter>;
  #rows = 0;
  #tokens = 0;

  private constructor(split: Split, name: string, file: AtomicFile) {
    this.#split = split;
    this.#name = name;
    this.#file = file;
    this.#envelope = new parquet.ParquetEnvelopeWriter(
      schema,
      (bytes) => file.write(bytes),
      () => Promise.resolve(),
      0,
      { useDataPageV2: true, pageIndex: false },
    );
  }

  /** @param folder the dataset's; its folder for the split exists @throws TacoError `disk` */
  static async create(folder: string, split: Split, index: number): Promise<ShardWriter> {
    const name = shardFile(split, index);
    const file = await AtomicFile.create(join(folder, ...name.split('/')));
    const writer = new ShardWriter(split, name, file);
    try {
      await writer.#envelope.writeHeader();
    } catch (error) {
      await writer.discard();
      throw error;
    }
    return writer;
  }

  get rows(): number {
    return this.#rows;
  }

  /** Appends one row group; memory is free again when the promise settles. @throws TacoError `disk` */
  async write(group: RowGroup): Promise<void> {
    const page = encodeListPage(group.ids, group.rows);
    await this.#envelope.writeRowGroup({ rowCount: group.rows, pages: { [leafPath]: [page] } });
    // parquetjs-lite takes the compressed size for both.
    const metadata = this.#envelope.rowGroups.at(-1)!;
    metadata.columns[0]!.meta_data.total_uncompressed_size = page.uncompressedBytes;
    metadata.total_byte_size = page.uncompressedBytes;
    this.#rows += group.rows;
    this.#tokens += group.tokens;
  }

  /** Writes the footer and puts the file under its final name. @throws TacoError `disk` */
  async finish(): Promise<WrittenShard> {
    await this.#envelope.writeFooter({});
    const { bytes, sha256 } = await this.#file.commit();
    return { split: this.#split, file: this.#name, rows: this.#rows, tokens: this.#tokens, bytes, sha256 };
  }

  /** Gives the shard up and removes what was written. */
  async discard(): Promise<void> {
    await this.#file.discard();
  }
}
