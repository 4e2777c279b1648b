import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

export type RepositoryType = 'dataset' | 'model';

/** A repository given in memory: revision → path → content. */
export interface RepositorySpec {
  readonly type?: RepositoryType;
  /** `org/name` */
  readonly name: string;
  readonly revisions: Readonly<Record<string, Readonly<Record<string, Uint8Array | string>>>>;
  /** `private`: hidden from all but `allowed`; `gated`: seen by all, files only for `allowed`. */
  readonly access?: 'public' | 'private' | 'gated';
  /** Tokens that may read. */
  readonly allowed?: readonly string[];
}

export interface StoredFile {
  readonly path: string;
  readonly size: number;
  /** Kept outside of git, as the Hub does with Parquet and everything large. */
  readonly isLarge: boolean;
  read(start: number, end: number): Promise<Uint8Array>;
  /** sha256 of large files, git's blob id of others; hex. */
  digest(): Promise<string>;
}

export interface Repository {
  readonly type: RepositoryType;
  readonly name: string;
  access: 'public' | 'private' | 'gated';
  readonly allowed: readonly string[];
  /** Branch → commit. */
  readonly branches: Map<string, string>;
  /** Commit → files by path; old commits stay. */
  readonly commits: Map<string, ReadonlyMap<string, StoredFile>>;
}

const LARGE_BYTES = 1024 * 1024;

export function repositoryFrom(spec: RepositorySpec): Repository {
  const repository: Repository = {
    type: spec.type ?? 'dataset',
    name: spec.name,
    access: spec.access ?? 'public',
    allowed: spec.allowed ?? [],
    branches: new Map(),
    commits: new Map(),
  };
  for (const [revision, files] of Object.entries(spec.revisions)) commitTo(repository, revision, files);
  return repository;
}

/** Moves a branch to a new commit with these files; the old commit can still be read. */
export function commitTo(
  repository: Repository,
  revision: string,
  contents: Readonly<Record<string, Uint8Array | string>>,
): string {
  const hash = createHash('sha1').update(revision);
  const files = new Map<string, StoredFile>();
  for (const [path, content] of Object.entries(contents)) {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    hash.update(`\n${path}\n`).update(bytes);
    files.set(path, memoryFile(path, bytes));
  }
  return register(repository, revision, hash.digest('hex'), files);
}

/** Every repository of a folder laid out as `datasets/<org>/<name>/<revision>/<path>`, `models/…`. */
export async function repositoriesIn(root: string): Promise<readonly Repository[]> {
  const repositories: Repository[] = [];
  for (const type of ['dataset', 'model'] as const) {
    const top = join(root, `${type}s`);
    for (const org of await foldersOf(top)) {
      for (const name of await foldersOf(join(top, org))) {
        const repository = repositoryFrom({ type, name: `${org}/${name}`, revisions: {} });
        const folder = join(top, org, name);
        for (const revision of await revisionsOf(folder)) {
          await addFolder(repository, revision, join(folder, revision));
        }
        repositories.push(repository);
      }
    }
  }
  return repositories;
}

/** A branch is a folder; one below `refs` is three deep (`refs/convert/parquet`). */
async function revisionsOf(folder: string): Promise<readonly string[]> {
  const revisions: string[] = [];
  for (const first of await foldersOf(folder)) {
    if (first !== 'refs') {
      revisions.push(first);
      continue;
    }
    for (const second of await foldersOf(join(folder, first))) {
      for (const third of await foldersOf(join(folder, first, second))) {
        revisions.push(`${first}/${second}/${third}`);
      }
    }
  }
  return revisions;
}

async function addFolder(repository: Repository, revision: string, folder: string): Promise<void> {
  const files = new Map<string, StoredFile>();
  const hash = createHash('sha1').update(revision);
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const absolute = join(entry.parentPath, entry.name);
    const path = absolute.slice(folder.length + 1);
    const { size } = await stat(absolute);
    hash.update(`\n${path} ${size}`);
    files.set(path, diskFile(path, absolute, size));
  }
  register(repository, revision, hash.digest('hex'), files);
}

/** Moves a branch to a new commit with these files, whatever they are stored in. */
export function register(
  repository: Repository,
  revision: string,
  commit: string,
  files: ReadonlyMap<string, StoredFile>,
): string {
  repository.commits.set(commit, files);
  repository.branches.set(revision, commit);
  return commit;
}

async function foldersOf(path: string): Promise<readonly string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

export function memoryFile(
  path: string,
  bytes: Uint8Array,
  isLarge = isLargeFile(path, bytes.length),
): StoredFile {
  return {
    path,
    size: bytes.length,
    isLarge,
    read: (start, end) => Promise.resolve(bytes.subarray(start, end)),
    digest: () => Promise.resolve(isLarge ? sha256(bytes) : gitBlob(bytes)),
  };
}

function diskFile(path: string, absolute: string, size: number): StoredFile {
  const isLarge = isLargeFile(path, size);
  let digest: Promise<string> | undefined;
  return {
    path,
    size,
    isLarge,
    async read(start, end) {
      const handle = await open(absolute);
      try {
        const bytes = new Uint8Array(end - start);
        const { bytesRead } = await handle.read(bytes, 0, bytes.length, start);
        return bytes.subarray(0, bytesRead);
      } finally {
        await handle.close();
      }
    },
    digest: () => {
      digest ??= isLarge ? sha256File(absolute) : readFile(absolute).then(gitBlob);
      return digest;
    },
  };
}

/** What the Hub's default .gitattributes and its size limit make of a file. */
export function isLargeFile(path: string, size: number): boolean {
  return /\.(?:parquet|safetensors|onnx)$/.test(path) || size > LARGE_BYTES;
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

function gitBlob(bytes: Uint8Array): string {
  return createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
}
