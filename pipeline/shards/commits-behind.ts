import type { Commit, FullShards } from './full-shards.ts';

/** Notes a commit. @returns whether there shall be another */
export type NoteCommit = (commit: Commit, isLast: boolean) => Promise<'go on' | 'stop'> | 'go on' | 'stop';

export interface CommitsBehindOptions {
  readonly note: NoteCommit;
  /** No commit begins any more once it is aborted. */
  readonly signal: AbortSignal;
  /** Called when a commit failed or was to be the last: what is packed meanwhile is in vain. */
  readonly onEnd: () => void;
}

/**
 * Commits that go on while the next shards are filled: waiting for the disk to have them would hold up everything.
 * One after another: none begins before the one in front of it is noted, so what is noted is always on disk
 * and has no gap, and there are never more shards than those that are filled, and those that are behind.
 */
export class CommitsBehind {
  readonly #options: CommitsBehindOptions;
  #underWay: Promise<void> = Promise.resolve();

  constructor(options: CommitsBehindOptions) {
    this.#options = options;
  }

  /**
   * Begins a commit as soon as the one before is noted, and settles then. Gives the shards up when there is to be none.
   * @throws what the one before failed of
   */
  async add(full: FullShards, isLast = false): Promise<void> {
    const { signal, onEnd } = this.#options;
    try {
      await this.#underWay;
    } catch (error) {
      await full.discard();
      throw error;
    }
    if (signal.aborted) {
      await full.discard();
      return;
    }
    this.#underWay = this.#commit(full, isLast);
    // Told at once; thrown where it is waited for.
    this.#underWay.catch(onEnd);
  }

  /** Settles when the last one is noted. @throws what it failed of */
  async settle(): Promise<void> {
    await this.#underWay;
  }

  async #commit(full: FullShards, isLast: boolean): Promise<void> {
    const { note, onEnd } = this.#options;
    if ((await note(await full.commit(), isLast)) === 'stop') onEnd();
  }
}
