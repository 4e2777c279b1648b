import { join } from 'node:path';
import type { Admission, PackOptions, PackPosition, RowGroup } from '../pack.ts';
import { Packer } from '../pack.ts';
import type { StageTimes } from '../stage-times.ts';
import type { TokenChunk } from '../types.ts';
import { ensureFolder } from './atomic.ts';
import { FullShards } from './full-shards.ts';
import type { DatasetSettings, DatasetTotals, PrepareCursor, Split } from './manifest.ts';
import type { SeenDocuments } from './seen-documents.ts';
import { addTotals, noTotals } from './totals.ts';
import type { PageEncoder } from './writer.ts';
import { ShardWriter } from './writer.ts';

const splits: readonly Split[] = ['train', 'validation'];

export interface CommitterOptions {
  /** The dataset's folder. */
  readonly folder: string;
  readonly settings: DatasetSettings;
  readonly specialTokenIds: PackOptions['specialTokenIds'];
  /** Where to go on: the input that `take` is fed begins at its `input`. */
  readonly start: PrepareCursor;
  /** Number of the next shard of each split. */
  readonly nextShard: Readonly<Record<Split, number>>;
  readonly encoder: PageEncoder;
  /** Documents seen before, where duplicates are left out. */
  readonly seen?: SeenDocuments | undefined;
  /** Milliseconds of packing and of waiting for the disk are added here. */
  readonly times: StageTimes;
}

const CHUNK_START: PackPosition = { document: 0, token: 0 };

/**
 * Packs tokenized chunks into shards. Holds one row group of each split in memory; full ones go to the open
 * shards' temporary files at once. Where commits fall depends on the rows alone, so a run that goes on from any
 * commit's `end` makes the same files.
 */
export class ShardCommitter {
  readonly #options: CommitterOptions;
  readonly #packer: Packer;
  readonly #open = new Map<Split, ShardWriter>();
  readonly #next: Record<Split, number>;
  #counts = noTotals;
  #end: PrepareCursor;
  /** Place in the first chunk; later ones are taken whole. */
  #from: PackPosition;
  /** Of the parts so far of the chunk that is being taken. */
  #chunkCounts = noTotals;

  constructor(options: CommitterOptions) {
    const { settings, specialTokenIds, start, nextShard, encoder } = options;
    this.#options = options;
    this.#packer = new Packer(
      { ...settings, specialTokenIds },
      start.carry,
      this.#admission(),
      encoder.memoryForRows?.bind(encoder),
    );
    this.#next = { ...nextShard };
    this.#end = start;
    this.#from = { document: start.document, token: start.token };
  }

  /**
   * Takes the next part of the input. Yields the shards of a commit, which are the caller's, whenever a train shard
   * is full.
   * @throws TacoError `disk`
   */
  async *take(chunk: TokenChunk): AsyncGenerator<FullShards> {
    const { times, settings } = this.#options;
    const groups = this.#packer.pack(chunk, this.#from);
    for (;;) {
      const startedAt = performance.now();
      const next = groups.next();
      times.pack += performance.now() - startedAt;
      if (next.done === true) break;
      await this.#write(next.value);
      if (this.#open.get('train')?.rows === settings.rowsPerShard) {
        const validation = this.#packer.takeRows('validation');
        if (validation !== undefined) await this.#write(validation);
        const end = { input: chunk.at, ...this.#packer.position, carry: this.#packer.carry };
        yield this.#close(end, this.#options.seen);
      }
    }
    this.#chunkCounts = addTotals(this.#chunkCounts, {
      ...noTotals,
      documents: chunk.ends.length,
      textBytes: chunk.textBytes,
      characters: chunk.numCharacters,
      textTokens: chunk.numTokens,
      unknownTokens: chunk.numUnknown,
    });
    if (!chunk.isLast) return;
    // Counted when the chunk is over: a run that restarts inside a chunk reads it again and counts it then.
    this.#count(this.#chunkCounts);
    this.#chunkCounts = noTotals;
    this.#from = CHUNK_START;
    this.#end = { input: chunk.next, document: 0, token: 0, carry: this.#packer.carry };
  }

  /** Ends the splits. @returns what is left for the last commit; there may be no shard in it @throws TacoError `disk` */
  async finish(): Promise<FullShards> {
    const { remainder } = this.#options.settings;
    for (const split of splits) {
      const { group, dropped } = this.#packer.finish(split, remainder);
      if (group !== undefined) await this.#write(group);
      this.#count({ droppedTokens: dropped });
    }
    return this.#close({ ...this.#end, carry: { train: [], validation: [] } });
  }

  /** Gives up the shards that are not full and removes their temporary files. */
  async discard(): Promise<void> {
    for (const writer of this.#open.values()) await writer.discard();
    this.#open.clear();
  }

  async #write(group: RowGroup): Promise<void> {
    const { folder, settings, encoder, times } = this.#options;
    const { split, rows, tokens } = group;
    let writer = this.#open.get(split);
    if (writer === undefined) {
      await ensureFolder(join(folder, split));
      writer = await ShardWriter.create(folder, split, this.#next[split], encoder);
      this.#open.set(split, writer);
    }
    const startedAt = performance.now();
    await writer.write(group);
    times.write += performance.now() - startedAt;
    this.#count({
      tokens,
      paddingTokens: rows * settings.maxSeqLen - tokens,
      [split === 'train' ? 'trainRows' : 'validationRows']: rows,
    });
  }

  /** Fixes what belongs to a commit at this place, and begins anew. */
  #close(end: PrepareCursor, documents?: SeenDocuments): FullShards {
    const writers: ShardWriter[] = [];
    for (const split of splits) {
      const writer = this.#open.get(split);
      if (writer === undefined) continue;
      writers.push(writer);
      this.#open.delete(split);
      this.#next[split] += 1;
    }
    const counts = this.#counts;
    this.#counts = noTotals;
    return new FullShards({ writers, end, counts, saveSeen: documents?.takeFresh() });
  }

  /** Lets the first of equal documents pass. */
  #admission(): Admission | undefined {
    const { seen } = this.#options;
    if (seen === undefined) return undefined;
    return (hashes, index, numTokens) => {
      const isNew = seen.add(hashes, index);
      // Counted at once: a run that restarts behind it does not see it again.
      if (!isNew) this.#count({ duplicateDocuments: 1, duplicateTokens: numTokens });
      return isNew;
    };
  }

  #count(counts: Partial<DatasetTotals>): void {
    this.#counts = addTotals(this.#counts, { ...noTotals, ...counts });
  }
}
