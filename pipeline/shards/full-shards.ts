import type { DatasetTotals, ManifestShard, PrepareCursor, SeenFile } from './manifest.ts';
import type { ShardWriter, WrittenShard } from './writer.ts';

/** Shards that are under their final names and belong together: one full train shard, and what validation has. */
export interface Commit {
  readonly shards: readonly ManifestShard[];
  readonly end: PrepareCursor;
  /** Documents that were new, where duplicates are left out and the run goes on. */
  readonly seen: SeenFile | undefined;
  /** Since the commit before. */
  readonly counts: DatasetTotals;
}

export interface FullShardsFacts extends Pick<Commit, 'end' | 'counts'> {
  readonly writers: readonly ShardWriter[];
  /** Writes the documents that were new. */
  readonly saveSeen: (() => Promise<SeenFile>) | undefined;
}

/**
 * Shards that took all of their rows and are still under temporary names. What belongs to them was fixed when the
 * last row came, so that others may be packed and written while these become a commit.
 */
export class FullShards {
  readonly #facts: FullShardsFacts;

  constructor(facts: FullShardsFacts) {
    this.#facts = facts;
  }

  /**
   * Puts them under their final names, for good; gives them up where that fails.
   * @throws TacoError `disk`
   */
  async commit(): Promise<Commit> {
    const { writers, saveSeen, end, counts } = this.#facts;
    try {
      const written: WrittenShard[] = [];
      for (const writer of writers) written.push(await writer.finish());
      const seen = await saveSeen?.();
      return { shards: written.map((shard) => ({ ...shard, end })), end, seen, counts };
    } catch (error) {
      await this.discard();
      throw error;
    }
  }

  /** Gives them up and removes their temporary files. */
  async discard(): Promise<void> {
    for (const writer of this.#facts.writers) await writer.discard();
  }
}
