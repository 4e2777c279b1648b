import { join } from 'node:path';
import { TacoError } from '../errors.ts';
import type { SourceFile } from '../sources/source.ts';
import { tokenizerFilesOf } from '../text/tokenizer-files.ts';
import type { TokenizerSpec } from '../text/vocabulary.ts';
import { cardMark, datasetCard } from './dataset-card.ts';
import type { Dataset, DatasetShard } from './dataset.ts';
import { manifestFile, serializeManifest } from './manifest.ts';
import { diskFile, type LocalFile, memoryFile, missingFiles } from './push-files.ts';
import type { PushTarget } from './push-repository.ts';

/** A shard as it lies here. */
export interface ShardFile extends LocalFile {
  readonly shard: DatasetShard;
}

/** Everything of a dataset that belongs into a repository. */
export interface DatasetFiles {
  readonly shards: readonly ShardFile[];
  /** Tokenizer, card and manifest: small, committed together at the end. */
  readonly rest: readonly LocalFile[];
}

/** What a repository lacks. */
export interface PushDelta {
  readonly upload: readonly ShardFile[];
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
      return { ...diskFile(file, join(folder, ...file.split('/')), bytes, sha256), shard };
    }),
    rest: texts.map(([path, text]) => memoryFile(path!, new Uint8Array(Buffer.from(text!)))),
  };
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
  const own = new Set([...shards, ...rest].map(({ path }) => path));
  const hasManifest = listed.some(({ path }) => path === manifestFile);
  const isOurs = (path: string): boolean =>
    own.has(path) || SHARD.test(path) || HARMLESS.test(path) || TOKENIZER_FILES.includes(path);
  const foreign = listed.find(({ path }) => !isOurs(path));
  if (foreign !== undefined) {
    throw new TacoError(
      `${repository} holds other files (${foreign.path}); choose a new name, or a branch of its own with --revision`,
      { code: 'bad-config', stage: 'push', path: repository },
    );
  }
  const keepsCard = cardThere?.includes(cardMark(fingerprint)) === true;
  return {
    upload: await missingFiles(shards, listed),
    stale: listed.map(({ path }) => path).filter((path) => SHARD.test(path) && !own.has(path)),
    rest: await missingFiles(
      rest.filter(({ path }) => path !== CARD || !keepsCard),
      listed,
    ),
    hasManifest,
  };
}

const MAX_COMMIT_FILES = 16;
const MAX_COMMIT_BYTES = 512 * 1024 * 1024;

/** Files in order, cut into commits of bounded size, so that an interruption loses little. */
export function commitsOfFiles<File extends LocalFile>(
  files: readonly File[],
  maxFiles = MAX_COMMIT_FILES,
  maxBytes = MAX_COMMIT_BYTES,
): readonly (readonly File[])[] {
  const commits: File[][] = [];
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
