import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { systemCodeOf, TacoError } from '../errors.ts';
import { diskError, removeTemporaryFiles } from './atomic.ts';
import type { Manifest, ManifestShard, PrepareCursor, Split } from './manifest.ts';
import { canonicalJson } from './manifest.ts';
import { seenFolder } from './seen-documents.ts';

/** Shards that were committed together, with what it takes to make them again. */
export interface CommitRecord {
  readonly shards: readonly ManifestShard[];
  /** Where the commit before ended; undefined for the first. */
  readonly start: PrepareCursor | undefined;
  /** Number of the commit's shard of each split. */
  readonly firstShard: Readonly<Record<Split, number>>;
}

/** The manifest's shards by commit, in order. */
export function commitsOf({ shards }: Pick<Manifest, 'shards'>): CommitRecord[] {
  const commits: CommitRecord[] = [];
  const counts = { train: 0, validation: 0 };
  let group: ManifestShard[] = [];
  let firstShard = { ...counts };
  let start: PrepareCursor | undefined;
  const close = (): void => {
    if (group.length > 0) commits.push({ shards: group, start, firstShard });
    start = group.at(-1)?.end;
    firstShard = { ...counts };
    group = [];
  };
  for (const shard of shards) {
    const last = group.at(-1);
    if (last !== undefined && canonicalJson(last.end) !== canonicalJson(shard.end)) close();
    group.push(shard);
    counts[shard.split] += 1;
  }
  close();
  return commits;
}

/**
 * Compares a shard with what the manifest says.
 * @returns what is wrong, in words; undefined when nothing is
 * @throws TacoError `disk` when the file cannot be read
 */
export async function damageOf(folder: string, shard: ManifestShard): Promise<string | undefined> {
  const path = join(folder, ...shard.file.split('/'));
  try {
    const { size } = await stat(path);
    if (size !== shard.bytes) return `${size} bytes, expected ${shard.bytes}`;
    const hash = createHash('sha256');
    await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
    return hash.digest('hex') === shard.sha256 ? undefined : 'altered content';
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return 'missing';
    throw diskError('read', path, error);
  }
}

/**
 * Removes what an interrupted run left: temporary files, and shards that got their final name but not their
 * line in the manifest.
 */
export async function removeLeftovers(folder: string, manifest: Manifest): Promise<void> {
  const known = new Set(manifest.shards.map((shard) => shard.file));
  await removeTemporaryFiles(folder);
  for (const split of ['train', 'validation'] as const) {
    await removeTemporaryFiles(join(folder, split));
    for (const name of await namesIn(join(folder, split))) {
      if (!/^\d{5,}\.parquet$/.test(name) || known.has(`${split}/${name}`)) continue;
      await remove(join(folder, split, name));
    }
  }
  const seen = new Set(manifest.seen.map(({ file }) => file));
  await removeTemporaryFiles(join(folder, seenFolder));
  for (const name of await namesIn(join(folder, seenFolder))) {
    const file = `${seenFolder}/${name}`;
    if (/^\d{5,}\.bin$/.test(name) && !seen.has(file)) await remove(join(folder, file));
  }
}

async function remove(path: string): Promise<void> {
  await rm(path, { force: true }).catch((error: unknown) => {
    throw diskError('remove', path, error);
  });
}

/**
 * Makes sure that a folder without a manifest is free for a dataset.
 * @throws TacoError `bad-config` when it holds other things, which we might overwrite
 */
export async function assertFreeFolder(folder: string): Promise<void> {
  const foreign = (await namesIn(folder)).find((name) => !name.startsWith('.'));
  if (foreign === undefined) return;
  throw new TacoError(
    `${folder} holds other files (${foreign}) and no dataset; choose an empty or new folder with --out`,
    { code: 'bad-config', stage: 'prepare', path: folder },
  );
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return [];
    throw diskError('read', folder, error);
  }
}
