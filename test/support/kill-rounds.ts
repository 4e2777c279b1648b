import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Random } from '../../pipeline/random.ts';
import { readManifest } from '../../pipeline/shards/manifest.ts';
import { runCli, startCli } from './commands.ts';
import { hashesBelow } from './folders.ts';
import { watchForPartialFiles } from './partial-files.ts';
import { writeInputs } from './preparations.ts';

/** Tokenizer threads of one start after another. */
const WORKERS = [1, 2, 3, 8, 2];

/** What all rounds are compared with. */
export interface KillReference {
  /** Folder of the inputs and of the rounds' datasets. */
  readonly home: string;
  /** SHA-256 of each file of an uninterrupted run. */
  readonly expected: Readonly<Record<string, string>>;
  /** From start to end of an uninterrupted run. */
  readonly durationMs: number;
}

export interface KillRoundOptions {
  readonly seed: number;
  /** Seed and round decide the moments. */
  readonly round: number;
  /** The last of so many starts is let go to its end. Default 12. */
  readonly maxStarts?: number;
}

export interface KillRound {
  readonly starts: number;
  readonly kills: number;
  /** Kills that came before the first shard. */
  readonly killsAtStart: number;
  /** Kills that left a file under its temporary name. */
  readonly killsInFile: number;
  /** Kills that left a shard under its final name that the manifest did not know yet. */
  readonly killsInCommit: number;
  /** What was wrong: partial files seen, runs that failed, files that differ in the end. */
  readonly faults: readonly string[];
  /** Files that were looked at while they came. */
  readonly looks: number;
}

function argumentsFor(home: string, out: string, workers: number): readonly string[] {
  return [
    ['--source', `2:file:${join(home, 'texts.jsonl')}`, '--source', `1:file:${join(home, 'texts.parquet')}`],
    ['--tokenizer', join(home, 'letters.txt'), '--max-seq-len', '64', '--rows-per-shard', '128'],
    ['--validation', '5%', '--workers', String(workers), '--out', out],
  ].flat();
}

/** Writes the inputs and prepares them without interruption. @throws Error when even that fails */
export async function killReference(home: string): Promise<KillReference> {
  await writeInputs(home, 3500);
  const out = join(home, 'whole');
  const begun = performance.now();
  const { status, stderr } = await runCli('prepare-data', argumentsFor(home, out, 1));
  const durationMs = performance.now() - begun;
  if (status !== 0) throw new Error(`the uninterrupted run failed: ${stderr}`);
  return { home, expected: await hashesBelow(out), durationMs };
}

/**
 * Starts prepare-data on an empty folder, kills it at a moment drawn uniformly from an uninterrupted run's duration,
 * and starts it again with another number of threads, until one run comes to its end.
 */
export async function killRound(
  { home, expected, durationMs }: KillReference,
  { seed, round, maxStarts = 12 }: KillRoundOptions,
): Promise<KillRound> {
  const random = new Random(seed, round);
  const out = join(home, `killed-${round}`);
  const watch = watchForPartialFiles(out, expected);
  const faults: string[] = [];
  const counts = { starts: 0, kills: 0, killsAtStart: 0, killsInFile: 0, killsInCommit: 0 };
  for (let isDone = false; !isDone; ) {
    const workers = WORKERS[counts.starts % WORKERS.length]!;
    counts.starts += 1;
    const { child, ended } = startCli('prepare-data', argumentsFor(home, out, workers));
    const isLast = counts.starts === maxStarts;
    const timer = isLast ? undefined : setTimeout(() => child.kill('SIGKILL'), random.float() * durationMs);
    const { status, signal, stderr } = await ended;
    clearTimeout(timer);
    isDone = signal !== 'SIGKILL';
    if (isDone) {
      if (status !== 0) faults.push(`start ${counts.starts} ended with ${status}: ${stderr.trim()}`);
      continue;
    }
    counts.kills += 1;
    if (!stderr.includes('.parquet')) counts.killsAtStart += 1;
    const left = await leftIn(out);
    if (left.hasTemporary) counts.killsInFile += 1;
    if (left.hasUnknownShard) counts.killsInCommit += 1;
  }
  const { faults: seen, looks } = await watch.stop();
  faults.push(...seen, ...differences(await hashesBelow(out), expected));
  return { ...counts, faults, looks };
}

async function leftIn(out: string): Promise<{ hasTemporary: boolean; hasUnknownShard: boolean }> {
  const names = await readdir(out, { recursive: true }).catch((): string[] => []);
  const known = (await readManifest(out))?.shards.map((shard) => shard.file) ?? [];
  const shards = names.filter((name) => /^\w+\/\d+\.parquet$/.test(name));
  return {
    hasTemporary: names.some((name) => name.includes('.tmp-')),
    hasUnknownShard: shards.some((name) => !known.includes(name)),
  };
}

function differences(
  found: Readonly<Record<string, string>>,
  expected: Readonly<Record<string, string>>,
): readonly string[] {
  const names = new Set([...Object.keys(found), ...Object.keys(expected)]);
  return [...names]
    .filter((name) => found[name] !== expected[name])
    .map((name) =>
      found[name] === undefined
        ? `${name} is missing`
        : `${name} ${expected[name] === undefined ? 'is left over' : 'differs'}`,
    );
}
