import parquet from 'parquetjs-lite';
import parquetTypes from 'parquetjs-lite/gen-nodejs/parquet_types.js';
import { AtomicFile, type CommittedFile } from './atomic.ts';
import { dataPage, listLevels } from './page.ts';
import { rowGroup } from './row-group.ts';

const schema = new parquet.ParquetSchema({
  text: { type: 'UTF8', compression: 'UNCOMPRESSED', statistics: false },
  embedding: {
    type: 'LIST',
    fields: {
      list: {
        repeated: true,
        fields: { element: { type: 'FLOAT', compression: 'UNCOMPRESSED', statistics: false } },
      },
    },
  },
});
const none = new Uint8Array(0);

/**
 * A Parquet file of texts and their vectors: `text` (string) and `embedding` (`list<float>`), a row group for each
 * call. Nothing is under its name before `finish`.
 */
export class VectorFile {
  readonly #file: AtomicFile;
  readonly #envelope: InstanceType<typeof parquet.ParquetEnvelopeWriter>;

  private constructor(file: AtomicFile) {
    this.#file = file;
    this.#envelope = new parquet.ParquetEnvelopeWriter(
      schema,
      (bytes) => file.write(bytes),
      () => Promise.resolve(),
      0,
      { useDataPageV2: true, pageIndex: false },
    );
  }

  /** @throws TacoError `disk` */
  static async create(path: string): Promise<VectorFile> {
    const file = new VectorFile(await AtomicFile.create(path));
    await file.#envelope.writeHeader();
    return file;
  }

  /**
   * Appends rows.
   * @param vectors [texts.length * size], at least one row of at least one number
   * @throws TacoError `disk`
   */
  async write(texts: readonly string[], vectors: Float32Array<ArrayBuffer>): Promise<void> {
    const numRows = texts.length;
    const { Encoding, Type } = parquetTypes;
    const plain = { numRows, encoding: Encoding.PLAIN };
    const textPage = dataPage({
      ...plain,
      numValues: numRows,
      repetition: none,
      definition: none,
      values: Buffer.concat(texts.flatMap(withLength)),
    });
    const bytes = new Uint8Array(vectors.buffer, vectors.byteOffset, vectors.byteLength);
    const vectorPage = dataPage({
      ...plain,
      numValues: vectors.length,
      ...listLevels(vectors.length, numRows),
      values: bytes,
    });
    const { offset } = this.#envelope;
    const encodings = [Encoding.RLE, Encoding.PLAIN];
    this.#envelope.rowGroups.push(
      rowGroup(numRows, [
        {
          type: Type.BYTE_ARRAY,
          encodings,
          path: ['text'],
          numValues: numRows,
          pageBytes: textPage.length,
          offset,
        },
        {
          type: Type.FLOAT,
          encodings,
          path: ['embedding', 'list', 'element'],
          numValues: vectors.length,
          pageBytes: vectorPage.length,
          offset: offset + textPage.length,
        },
      ]),
    );
    this.#envelope.rowCount += numRows;
    await this.#envelope.writeSection(textPage);
    await this.#envelope.writeSection(vectorPage);
  }

  /** Writes the footer and puts the file under its name. @throws TacoError `disk` */
  async finish(): Promise<CommittedFile> {
    await this.#envelope.writeFooter({});
    return this.#file.commit();
  }

  /** Gives the file up and removes what was written. */
  async discard(): Promise<void> {
    await this.#file.discard();
  }
}

function withLength(text: string): readonly Uint8Array[] {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  return [length, bytes];
}
