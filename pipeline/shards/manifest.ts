import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, systemCodeOf, TacoError } from '../errors.ts';
import type { SourceIdentity } from '../sources/source.ts';
import type { InputCursor, SpecialTokenIds } from '../types.ts';
import { diskError, writeFileAtomic } from './atomic.ts';
import { manifestSchema } from './manifest-schema.ts';

export type Split = 'train' | 'validation';

/**
 * Where preparation goes on after a shard: state of the input before the chunk that was being packed, place in
 * that chunk, and the begun row of each split. Its size does not grow with the data.
 */
export interface PrepareCursor {
  readonly input: InputCursor;
  /** Documents of the chunk at `input` that are packed. */
  readonly document: number;
  /**
   * How much of the next document is packed: positions, its [CLS] being position 0 (`concat`), or ids
   * (`documents`).
   */
  readonly token: number;
  /** Ids of the row that each split has begun: fewer than maxSeqLen. */
  readonly carry: Readonly<Record<Split, readonly number[]>>;
}

/** What the user chose and the rows depend on. */
export interface DatasetSettings {
  /** Ids per row. */
  readonly maxSeqLen: number;
  readonly packing: 'concat' | 'documents';
  /** What becomes of the last, unfinished row of each split. */
  readonly remainder: 'pad' | 'drop';
  /** Share of the documents that go to the validation split, 0 to 1. */
  readonly validation: number;
  readonly seed: number;
  /** `exact`: of documents with the same bytes only the first is kept, over all sources. */
  readonly dedup: 'none' | 'exact';
  readonly rowsPerShard: number;
  /** Every row group of the train split has this many rows, except its very last one. */
  readonly rowsPerGroup: number;
}

export interface ManifestTokenizer {
  /** As the user wrote it. */
  readonly reference: string;
  readonly kind: 'wordpiece';
  readonly lowercase: boolean;
  readonly vocabSize: number;
  /** Of vocab.txt: each token and a line feed. */
  readonly sha256: string;
  /** Of everything that decides a text's ids. */
  readonly fingerprint: string;
  readonly specialTokenIds: SpecialTokenIds;
}

export interface ManifestShard {
  readonly split: Split;
  /** Relative to the dataset's folder, with forward slashes: `train/00000.parquet`. */
  readonly file: string;
  readonly rows: number;
  /** Ids that are not padding. */
  readonly tokens: number;
  readonly bytes: number;
  readonly sha256: string;
  /** From here the next shards are made. Shards that were committed together have the same. */
  readonly end: PrepareCursor;
}

export interface DatasetTotals {
  /** Documents read that hold text, duplicates included. */
  readonly documents: number;
  /** Of these, left out as exact copies of an earlier one. */
  readonly duplicateDocuments: number;
  /** Text of all documents read. */
  readonly textBytes: number;
  /** Code points of that text. */
  readonly characters: number;
  /** Ids of that text, without [CLS] and [SEP]. */
  readonly textTokens: number;
  /** Of these, in duplicates that were left out. */
  readonly duplicateTokens: number;
  /** Of `textTokens`, unknown to the vocabulary. */
  readonly unknownTokens: number;
  /** Ids in rows, with [CLS] and [SEP], without padding. */
  readonly tokens: number;
  readonly paddingTokens: number;
  /** Ids of the unfinished last rows, when they are dropped. */
  readonly droppedTokens: number;
  readonly trainRows: number;
  readonly validationRows: number;
}

/** A prepared dataset, or one in the making. Shards are listed in the order in which they were made. */
export interface Manifest {
  readonly schemaVersion: typeof SCHEMA_VERSION;
  readonly status: 'running' | 'complete';
  /** `fingerprintOf` the settings, sources and tokenizer: equal fingerprints mean equal rows. */
  readonly fingerprint: string;
  readonly settings: DatasetSettings;
  readonly sources: readonly SourceIdentity[];
  readonly tokenizer: ManifestTokenizer;
  readonly shards: readonly ManifestShard[];
  /** With `dedup: 'exact'`, what each commit that was not the last had seen for the first time. */
  readonly seen: readonly SeenFile[];
  readonly totals: DatasetTotals;
}

/** Hashes of documents on disk, 16 bytes each. */
export interface SeenFile {
  /** Relative to the dataset's folder: `seen/00000.bin`. */
  readonly file: string;
  readonly documents: number;
  readonly sha256: string;
}

export const manifestFile = 'manifest.json';

/** Raised by whatever changes the rows or bytes made from the same input, or the form of the manifest. */
export const SCHEMA_VERSION = 2;

/** Relative path of a shard. */
export function shardFile(split: Split, index: number): string {
  return `${split}/${String(index).padStart(5, '0')}.parquet`;
}

/** JSON with sorted keys and no spaces: equal values give equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/**
 * Names the rows of a dataset: everything that decides them and nothing else. How the user spelled a source or
 * the tokenizer is left out, what it was resolved to is in.
 * @returns sha256, lower-case hex
 */
export function fingerprintOf(facts: Pick<Manifest, 'settings' | 'sources' | 'tokenizer'>): string {
  const sources = facts.sources.map((source) => ({ ...source, spec: undefined }));
  const tokenizer = { ...facts.tokenizer, reference: undefined };
  return sha256Of(
    canonicalJson({ schemaVersion: SCHEMA_VERSION, settings: facts.settings, sources, tokenizer }),
  );
}

/** The file's text: readable, one shard a line, with a checksum over everything else. Equal manifests, equal text. */
export function serializeManifest(manifest: Manifest): string {
  // Parsing puts the keys into the schema's order, wherever the object came from.
  const { shards, ...rest } = manifestSchema.parse(manifest);
  const head = JSON.stringify({ checksum: sha256Of(canonicalJson(manifest)), ...rest }, null, 2);
  const lines = shards.map((shard) => `    ${JSON.stringify(shard)}`).join(',\n');
  return `${head.slice(0, -2)},\n  "shards": [${lines === '' ? '' : `\n${lines}\n  `}]\n}\n`;
}

/**
 * @param path named in errors
 * @throws TacoError `corrupt` when the text is not a manifest or was altered, `mismatch` when it was written by
 *   another version of this program
 */
export function parseManifest(text: string, path: string): Manifest {
  const corrupt = (why: string, cause?: unknown): TacoError =>
    new TacoError(
      `${path} is damaged: ${why}; restore it, or remove the dataset's folder and prepare it again`,
      {
        code: 'corrupt',
        stage: 'shards',
        path,
        cause,
      },
    );
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw corrupt(`it is not JSON${placeOf(error, text)}`, error);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw corrupt('not a JSON object');
  const { checksum, ...content } = value as Record<string, unknown>;
  if (content.schemaVersion !== SCHEMA_VERSION) {
    throw new TacoError(
      `${path} has schema version ${JSON.stringify(content.schemaVersion ?? null)}, this program reads version ${SCHEMA_VERSION}; prepare the dataset again in another folder`,
      { code: 'mismatch', stage: 'shards', path },
    );
  }
  const parsed = manifestSchema.safeParse(content);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw corrupt(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'unexpected form'}`, parsed.error);
  }
  const manifest: Manifest = parsed.data;
  if (checksum !== sha256Of(canonicalJson(manifest))) throw corrupt('its checksum does not fit its content');
  if (manifest.fingerprint !== fingerprintOf(manifest))
    throw corrupt('its fingerprint does not fit its settings');
  return manifest;
}

/** Where parsing stopped, as far as the parser says. */
function placeOf(error: unknown, text: string): string {
  const message = messageOf(error);
  const position = message.includes('end of JSON input') ? text.length : / position (\d+)/.exec(message)?.[1];
  return position === undefined ? '' : ` from byte ${Buffer.byteLength(text.slice(0, Number(position)))} on`;
}

/**
 * The manifest of a dataset's folder, or undefined where there is none.
 * @throws TacoError `corrupt`, `mismatch` or `disk`
 */
export async function readManifest(folder: string): Promise<Manifest | undefined> {
  const path = join(folder, manifestFile);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw diskError('read', path, error);
  }
  return parseManifest(text, path);
}

/** Replaces the folder's manifest, atomically. @throws TacoError `disk` */
export async function writeManifest(folder: string, manifest: Manifest): Promise<void> {
  await writeFileAtomic(join(folder, manifestFile), serializeManifest(manifest));
}
