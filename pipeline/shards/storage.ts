import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { messageOf, systemCodeOf, TacoError } from '../errors.ts';
import type { Hub, HubRepository } from '../sources/hub-client.ts';
import { type ManifestShard, manifestFile, type SeenFile } from './manifest.ts';
import { damageOfSeen } from './seen-documents.ts';
import { LOCAL_REMEDY, localShard, readError, type ShardSource } from './shard-source.ts';

/** Where a prepared dataset lies: a folder, or one commit of a Hub repository. Nothing needs closing. */
export interface DatasetStorage {
  /** Opens the very same files again: the folder, or `hub:org/name@<commit>`. */
  readonly reference: string;
  /** What to do about files that are damaged or missing: ends a message. */
  readonly remedy: string;
  /** The same for the tokenizer's files. */
  readonly tokenizerRemedy: string;
  /** Without a manifest: ends a message. */
  readonly absence: string;
  /** How messages call a file. */
  nameOf(file: string): string;
  /** A small file; undefined where there is none. @throws TacoError `disk`, `network`, … */
  readFile(file: string): Promise<Uint8Array | undefined>;
  shard(shard: ManifestShard): ShardSource;
  /**
   * Holds the shards against what is there as far as that needs no reading: sizes, and on the Hub the hashes it
   * keeps of large files.
   * @returns what is wrong, in words, by file; `undefined` for one that is missing
   * @throws TacoError `disk`, `network`
   */
  compare(shards: readonly ManifestShard[]): Promise<ReadonlyMap<string, string | undefined>>;
  /**
   * The same for what preparation keeps to go on with, read whole; on the Hub there is nothing of it.
   * @returns what is wrong, in words, by file
   */
  compareState(files: readonly SeenFile[]): Promise<ReadonlyMap<string, string>>;
}

const MAX_CONCURRENT_FILES = 8;

/** A dataset as prepare-data left it. */
export function folderStorage(folder: string): DatasetStorage {
  const pathOf = (file: string): string => join(folder, ...file.split('/'));
  return {
    reference: folder,
    remedy: LOCAL_REMEDY,
    tokenizerRemedy: 'run prepare-data again, it restores the files',
    absence: `make one with npm run prepare-data -- --out ${folder}`,
    nameOf: pathOf,
    async readFile(file) {
      try {
        return await readFile(pathOf(file));
      } catch (error) {
        if (systemCodeOf(error) === 'ENOENT') return undefined;
        const message = `cannot read ${pathOf(file)}: ${messageOf(error)}`;
        throw new TacoError(message, { code: 'disk', stage: 'shards', path: pathOf(file), cause: error });
      }
    },
    shard: ({ file }) => localShard(pathOf(file)),
    async compare(shards) {
      const limit = pLimit(MAX_CONCURRENT_FILES);
      const sizes = await Promise.all(shards.map(({ file }) => limit(() => sizeOf(pathOf(file)))));
      return differences(shards, (_, index) => {
        const size = sizes[index];
        return size === undefined ? undefined : { sizeBytes: size };
      });
    },
    async compareState(files) {
      const found = new Map<string, string>();
      for (const file of files) {
        const damage = await damageOfSeen(folder, file);
        if (damage !== undefined) found.set(file.file, damage);
      }
      return found;
    },
  };
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw readError(path, error);
  }
}

/** A dataset at a commit of a repository, read by byte ranges. A branch that moves on changes nothing. */
export function hubStorage(hub: Hub, repository: HubRepository, commit: string): DatasetStorage {
  const reference = `hub:${repository.name}@${commit}`;
  const remedy =
    'push the dataset again from a whole copy with npm run push-data, or name another revision with @';
  return {
    reference,
    remedy,
    tokenizerRemedy: remedy,
    absence: `push one with npm run push-data; text is prepared with npm run prepare-data -- --source hub:${repository.name}`,
    nameOf: (file) => `${file} of ${reference}`,
    readFile: async (file) => (await hub.readFile(repository, commit, file)) ?? undefined,
    shard({ file, bytes, sha256 }) {
      const opened = hub.openFile(repository, commit, { path: file, sizeBytes: bytes, digest: sha256 });
      return { remedy, isRemote: true, read: (start, end) => opened.read(start, end) };
    },
    async compare(shards) {
      const listed = await hub.listFiles(repository, commit);
      const byPath = new Map(listed?.map((file) => [file.path, file]));
      return differences(shards, ({ file }) => byPath.get(file));
    },
    compareState: () => Promise.resolve(new Map()),
  };
}

interface Listed {
  readonly sizeBytes: number;
  /** sha256 where the Hub keeps one; other identities are not compared. */
  readonly digest?: string;
}

function differences(
  shards: readonly ManifestShard[],
  find: (shard: ManifestShard, index: number) => Listed | undefined,
): ReadonlyMap<string, string | undefined> {
  const found = new Map<string, string | undefined>();
  for (const [index, shard] of shards.entries()) {
    const listed = find(shard, index);
    if (listed === undefined) found.set(shard.file, undefined);
    else if (listed.sizeBytes !== shard.bytes) {
      found.set(shard.file, `${listed.sizeBytes} bytes, expected ${shard.bytes}`);
    } else if (isSha256(listed.digest) && listed.digest !== shard.sha256) {
      found.set(shard.file, `sha256 ${listed.digest}, expected ${shard.sha256}`);
    }
  }
  return found;
}

function isSha256(digest: string | undefined): digest is string {
  return digest !== undefined && /^[0-9a-f]{64}$/.test(digest);
}

/** What a user names a dataset by. */
export type DatasetReference =
  | { readonly kind: 'folder'; readonly folder: string }
  | { readonly kind: 'hub'; readonly repository: string; readonly revision: string };

/**
 * `hub:org/name[@revision]`, or a folder.
 * @throws TacoError `bad-config` when it begins with `hub:` and goes on otherwise
 */
export function parseDatasetReference(text: string): DatasetReference {
  if (!text.startsWith('hub:')) return { kind: 'folder', folder: text };
  const match = /^hub:(\w[\w.-]*\/\w[\w.-]*)(?:@([^@\s]+))?$/.exec(text);
  if (match === null) {
    throw new TacoError(
      `${text} is no prepared dataset; expected a folder, or hub:org/name[@revision], which holds ${manifestFile}`,
      { code: 'bad-config', stage: 'shards', path: text },
    );
  }
  return { kind: 'hub', repository: match[1]!, revision: match[2] ?? 'main' };
}

/**
 * Finds where a dataset lies; a revision is resolved to its commit, once.
 * @throws TacoError `bad-config`; on the Hub `not-found`, `forbidden`, `network`
 */
export async function openStorage(text: string, connect: () => Hub): Promise<DatasetStorage> {
  const reference = parseDatasetReference(text);
  if (reference.kind === 'folder') return folderStorage(reference.folder);
  const hub = connect();
  const repository: HubRepository = { type: 'dataset', name: reference.repository };
  const { revision } = reference;
  const isCommit = /^[0-9a-f]{40}$/.test(revision);
  return hubStorage(hub, repository, isCommit ? revision : await hub.resolveCommit(repository, revision));
}
