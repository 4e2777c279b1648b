import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCodeOf, TacoError } from '../errors.ts';
import { diskError, ensureFolder, temporaryPathOf, writeFileAtomic } from './atomic.ts';
import type { SeenFile } from './manifest.ts';
import { LANES, SeenFilter, SeenTable, type SpilledTable } from './seen-table.ts';

/** Folder within the dataset's. */
export const seenFolder = 'seen';

/** 256 MiB: 12.6 million documents, twice Wikipedia's. */
const MAX_SLOTS = 1 << 24;
const FIRST_SLOTS = 1 << 16;
const FIRST_FRESH = 1 << 10;
/** 128 MiB: at 80 million documents one look in a thousand goes to the disk in vain. */
const FILTER_BLOCKS = 1 << 21;

export interface SeenOptions {
  /** Most slots in memory, a power of two. For tests. */
  readonly maxSlots?: number;
}

/**
 * The documents seen so far, by the 128 bits of their hashes, in bounded memory: a table of at most 256 MiB, of which
 * full ones go to disk, with a filter of 128 MiB in front of those. Two documents taken for one are as likely as two
 * equal random numbers of 128 bits.
 */
export class SeenDocuments {
  readonly #folder: string;
  readonly #maxSlots: number;
  #table: SeenTable;
  readonly #spilled: SpilledTable[] = [];
  #filter: SeenFilter | undefined;
  /** The hash that a table cannot hold. */
  #hasZero = false;
  /** Hashes new since the last `takeFresh`. */
  #fresh = new Int32Array(FIRST_FRESH * LANES);
  #numFresh = 0;
  #numTaken = 0;
  /** The hashes that were asked for last, and the same as signed numbers, which compare faster. */
  #hashes: Uint32Array | undefined;
  #lanes = new Int32Array(0) as Int32Array;

  private constructor(folder: string, maxSlots: number) {
    this.#folder = folder;
    this.#maxSlots = maxSlots;
    this.#table = new SeenTable(Math.min(FIRST_SLOTS, maxSlots));
  }

  /**
   * @param folder the dataset's
   * @param files what earlier commits had seen, in order
   * @throws TacoError `corrupt` when a file is not what the manifest says, `disk`
   */
  static async open(
    folder: string,
    files: readonly SeenFile[],
    { maxSlots = MAX_SLOTS }: SeenOptions = {},
  ): Promise<SeenDocuments> {
    await ensureFolder(join(folder, seenFolder));
    const seen = new SeenDocuments(folder, maxSlots);
    for (const file of files) {
      const hashes = await readSeenFile(folder, file);
      for (let at = 0; at < hashes.length; at += LANES) seen.#insert(hashes, at);
    }
    seen.#numTaken = files.length;
    return seen;
  }

  /**
   * @param hashes as in `TokenChunk`
   * @param index the document's place in them
   * @returns whether the document is new
   * @throws TacoError `disk`
   */
  add(hashes: Uint32Array, index: number): boolean {
    if (hashes !== this.#hashes) {
      this.#hashes = hashes;
      this.#lanes = new Int32Array(hashes.buffer, hashes.byteOffset, hashes.length);
    }
    const at = index * LANES;
    if (!this.#insert(this.#lanes, at)) return false;
    if (this.#numFresh * LANES === this.#fresh.length) {
      const larger = new Int32Array(2 * this.#fresh.length);
      larger.set(this.#fresh);
      this.#fresh = larger;
    }
    for (let lane = 0; lane < LANES; lane += 1) {
      this.#fresh[this.#numFresh * LANES + lane] = this.#lanes[at + lane]!;
    }
    this.#numFresh += 1;
    return true;
  }

  /**
   * Takes what was new since the last time, for a run that goes on later; what is added from now on is not in it.
   * @returns writes it; rejects with TacoError `disk`
   */
  takeFresh(): () => Promise<SeenFile> {
    const file = `${seenFolder}/${String(this.#numTaken).padStart(5, '0')}.bin`;
    const documents = this.#numFresh;
    const lanes = this.#fresh.subarray(0, documents * LANES);
    this.#numTaken += 1;
    // The next commit sees about as many.
    this.#fresh = new Int32Array(Math.max(lanes.length, FIRST_FRESH * LANES));
    this.#numFresh = 0;
    return async () => {
      const bytes = new Uint8Array(lanes.buffer, 0, lanes.byteLength);
      const { sha256 } = await writeFileAtomic(join(this.#folder, file), bytes);
      return { file, documents, sha256 };
    };
  }

  /** Removes the tables on disk. */
  close(): void {
    for (const table of this.#spilled) table.remove();
    this.#spilled.length = 0;
  }

  #insert(hashes: Int32Array, at: number): boolean {
    if (hashes[at] === 0 && hashes[at + 1] === 0 && hashes[at + 2] === 0 && hashes[at + 3] === 0) {
      const isNew = !this.#hasZero;
      this.#hasZero = true;
      return isNew;
    }
    if (!this.#table.add(hashes, at)) return false;
    // What is found on disk stays in memory too: the commonest documents come again and again.
    const isNew =
      this.#filter?.mayHave(hashes, at) !== true || !this.#spilled.some((table) => table.has(hashes, at));
    if (this.#table.isFull) this.#makeRoom();
    return isNew;
  }

  #makeRoom(): void {
    const full = this.#table;
    if (full.numSlots < this.#maxSlots) {
      const larger = new SeenTable(2 * full.numSlots);
      full.visit((slots, at) => {
        larger.add(slots, at);
      });
      this.#table = larger;
      return;
    }
    this.#filter ??= new SeenFilter(FILTER_BLOCKS);
    const filter = this.#filter;
    full.visit((slots, at) => {
      filter.add(slots, at);
    });
    const path = temporaryPathOf(join(this.#folder, seenFolder, `table-${this.#spilled.length}`));
    this.#spilled.push(full.spill(path));
    this.#table = new SeenTable(this.#maxSlots);
  }
}

async function readSeenFile(folder: string, file: SeenFile): Promise<Int32Array> {
  const bytes = await readOrDamage(folder, file);
  if (typeof bytes === 'string') {
    const path = join(folder, file.file);
    throw new TacoError(
      `${path} is damaged (${bytes}): it holds which documents were seen; restore it, or remove the dataset's folder and prepare it again`,
      { code: 'corrupt', stage: 'shards', path },
    );
  }
  // Files are read into shared memory at any offset; numbers want theirs.
  return new Int32Array(new Uint8Array(bytes).buffer);
}

/**
 * Compares a file with what the manifest says.
 * @returns what is wrong, in words; undefined when nothing is
 * @throws TacoError `disk`
 */
export async function damageOfSeen(folder: string, file: SeenFile): Promise<string | undefined> {
  const bytes = await readOrDamage(folder, file);
  return typeof bytes === 'string' ? bytes : undefined;
}

async function readOrDamage(
  folder: string,
  { file, documents, sha256 }: SeenFile,
): Promise<Uint8Array | string> {
  const path = join(folder, file);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return 'missing';
    throw diskError('read', path, error);
  }
  const numBytes = documents * LANES * 4;
  if (bytes.length !== numBytes) return `${bytes.length} bytes, expected ${numBytes}`;
  const digest = createHash('sha256').update(bytes).digest('hex');
  return digest === sha256 ? bytes : `altered content, its sha256 is ${digest}, expected ${sha256}`;
}
