import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TacoError } from '../errors.ts';
import type { UploadFile } from '../sources/hub-upload.ts';
import type { SourceFile } from '../sources/source.ts';
import { tokenizerFilesOf } from '../text/tokenizer-files.ts';
import type { TokenizerSpec } from '../text/vocabulary.ts';
import { diskError } from './atomic.ts';
import { cardMark, datasetCard } from './dataset-card.ts';
import type { Dataset, DatasetShard } from './dataset.ts';
import { manifestFile, serializeManifest } from './manifest.ts';

/** A file of the dataset as it lies here. */
export interface LocalFile extends UploadFile {
  readonly sha256: string;
  /** git's name of the content, by which the Hub knows small files. */
  gitId(): Promise<string>;
  /** Of a shard. */
  readonly shard?: DatasetShard;
}

/** Where a dataset goes. */
export interface PushTarget {
  /** `org/name` */
  readonly repository: string;
  readonly branch: string;
}

/** Everything of a dataset that belongs into a repository. */
export interface DatasetFiles {
  readonly shards: readonly LocalFile[];
  /** Tokenizer, card and manifest: small, committed together at the end. */
  readonly rest: readonly LocalFile[];
}

/** What a repository lacks. */
export interface PushDelta {
  readonly upload: readonly LocalFile[];
  /** Shards there that the manifest does not name. */
  readonly stale: readonly string[];
  /** Of `rest`. */
  readonly rest: readonly LocalFile[];
  /** There is a manifest, of this dataset or another. */
  readonly hasManifest: boolean;
}

const TOKENIZER_FILES = ['tokenizer.json', 'vocab.txt', 'tokenizer_config.json'];
const CARD = 'README.md';
const SHARD = /^(?:train|validation)\/\d{5,}\.parquet$/;
/** What a repository may hold besides a dataset. */
const HARMLESS = /^(?:\.gitattributes|\.gitignore|README\.md|LICENSE[^/]*)$/i;

/**
 * @param repository where they go, which the card names
 * @param tokenizer of the dataset
 */
export function filesOf(
  { reference: folder, manifest, shards }: Dataset,
  tokenizer: TokenizerSpec,
  { repository, branch }: PushTarget,
): DatasetFiles {
  const card = datasetCard(manifest, repository, branch);
  const texts = [...tokenizerFilesOf(tokenizer), [CARD, card], [manifestFile, serializeManifest(manifest)]];
  return {
    shards: shards.map((shard) => {
      const { file, bytes, sha256 } = shard.shard;
      const localPath = join(folder, ...file.split('/'));
      const gitId = async (): Promise<string> => gitIdOf(await readLocal(localPath));
      return { path: file, sizeBytes: bytes, sha256, gitId, content: { localPath }, shard };
    }),
    rest: texts.map(([path, text]) => inMemory(path!, new Uint8Array(Buffer.from(text!)))),
  };
}

async function readLocal(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    throw diskError('read', path, error);
  }
}

function inMemory(path: string, content: Uint8Array<ArrayBuffer>): LocalFile {
  return {
    path,
    sizeBytes: content.length,
    content,
    sha256: createHash('sha256').update(content).digest('hex'),
    gitId: () => Promise.resolve(gitIdOf(content)),
  };
}

function gitIdOf(content: Uint8Array): string {
  return createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
}

/**
 * Compares a dataset with what a repository lists.
 * @param cardThere the page that is there; one that describes the same rows stays, with what its owner added
 * @throws TacoError `bad-config` when the repository holds other things, which this would mix with
 */
export async function deltaOf(
  { shards, rest }: DatasetFiles,
  listed: readonly SourceFile[],
  { fingerprint, repository }: { readonly fingerprint: string; readonly repository: string },
  cardThere: string | undefined,
): Promise<PushDelta> {
  const byPath = new Map(listed.map((file) => [file.path, file]));
  const own = new Set([...shards, ...rest].map(({ path }) => path));
  const hasManifest = byPath.has(manifestFile);
  const isOurs = (path: string): boolean =>
    own.has(path) || SHARD.test(path) || HARMLESS.test(path) || TOKENIZER_FILES.includes(path);
  const foreign = listed.find(({ path }) => !isOurs(path));
  if (foreign !== undefined) {
    throw new TacoError(
      `${repository} holds other files (${foreign.path}); choose a new name, or a branch of its own with --revision`,
      { code: 'bad-config', stage: 'push', path: repository },
    );
  }
  const missing = async (files: readonly LocalFile[]): Promise<LocalFile[]> => {
    const found: LocalFile[] = [];
    for (const file of files) if (!(await isSame(file, byPath.get(file.path)))) found.push(file);
    return found;
  };
  const keepsCard = cardThere?.includes(cardMark(fingerprint)) === true;
  return {
    upload: await missing(shards),
    stale: listed.map(({ path }) => path).filter((path) => SHARD.test(path) && !own.has(path)),
    rest: await missing(rest.filter(({ path }) => path !== CARD || !keepsCard)),
    hasManifest,
  };
}

async function isSame(file: LocalFile, there: SourceFile | undefined): Promise<boolean> {
  if (there?.sizeBytes !== file.sizeBytes) return false;
  return /^[0-9a-f]{64}$/.test(there.digest)
    ? there.digest === file.sha256
    : there.digest === (await file.gitId());
}

const MAX_COMMIT_FILES = 16;
const MAX_COMMIT_BYTES = 512 * 1024 * 1024;

/** Files in order, cut into commits of bounded size, so that an interruption loses little. */
export function commitsOfFiles(
  files: readonly LocalFile[],
  maxFiles = MAX_COMMIT_FILES,
  maxBytes = MAX_COMMIT_BYTES,
): readonly (readonly LocalFile[])[] {
  const commits: LocalFile[][] = [];
  let bytes = 0;
  for (const file of files) {
    const last = commits.at(-1);
    if (last === undefined || last.length >= maxFiles || bytes + file.sizeBytes > maxBytes) {
      commits.push([file]);
      bytes = file.sizeBytes;
    } else {
      last.push(file);
      bytes += file.sizeBytes;
    }
  }
  return commits;
}
