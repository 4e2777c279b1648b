import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { TacoError } from './errors.ts';
import type { DatasetSettings } from './shards/manifest.ts';
import { parseSourceSpecs, type SourceSpec, shortNameOf } from './sources/spec.ts';
import { BUILTIN_TOKENIZER } from './text/builtin-vocabulary.ts';

/** Everything prepare-data can be told. Checked and frozen: made by `createPrepareConfig` only. */
export interface PrepareConfig {
  /** As `--source` takes them, in order. */
  readonly sources: readonly string[];
  /** Hub model, folder or file. */
  readonly tokenizer: string;
  /** Ids per row. */
  readonly maxSeqLen: number;
  readonly packing: DatasetSettings['packing'];
  readonly remainder: DatasetSettings['remainder'];
  /** Share of the documents, 0 to 0.5. */
  readonly validation: number;
  /** Threads that decode, tokenize and encode; 0 does all in the calling one. */
  readonly workers: number;
  readonly seed: number;
  readonly dedup: DatasetSettings['dedup'];
  /** The dataset's folder. */
  readonly out: string;
  /** A multiple of `rowsPerGroup`. */
  readonly rowsPerShard: number;
  readonly rowsPerGroup: number;
  /** Keep whole Hub files instead of reading only the bytes that are needed. */
  readonly cacheDownloads: boolean;
}

/** What a user gives, unchecked; what is undefined has a default. */
export type PrepareInput = {
  readonly [Name in keyof PrepareConfig]?:
    | (PrepareConfig[Name] extends number | boolean | readonly string[] ? PrepareConfig[Name] : string)
    | (Name extends 'validation' ? string : never)
    | undefined;
};

export const DEFAULT_SOURCES: readonly string[] = ['wikipedia', 'bookcorpus'];
export const DEFAULT_TOKENIZER = 'google-bert/bert-base-uncased';
export const DEFAULT_MAX_SEQ_LEN = 256;
/** Where datasets go unless told otherwise. */
export const DATASETS_FOLDER = join('cache', 'datasets');

const DEFAULT_ROWS_PER_SHARD = 65_536;
const MAX_ROWS_PER_GROUP = 256;
/** 1 GiB of ids: keeps every offset in a shard within 31 bits. */
const MAX_IDS_PER_SHARD = 2 ** 28;

const whole = (flag: string, min: number, max: number) => {
  const error = (issue: { readonly input?: unknown }): string =>
    `${flag} is ${String(issue.input)}, expected a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
};

const choice = <const Values extends readonly [string, ...string[]]>(flag: string, values: Values) =>
  z.enum(values, { error: (issue) => `${flag} is ${String(issue.input)}, expected ${values.join(' or ')}` });

const text = (flag: string) => z.string().min(1, { error: `${flag} is empty` });

const schema = z.strictObject({
  sources: z
    .array(z.string())
    .min(1)
    .default([...DEFAULT_SOURCES]),
  tokenizer: text('--tokenizer').default(DEFAULT_TOKENIZER),
  maxSeqLen: whole('--max-seq-len', 8, 8192).default(DEFAULT_MAX_SEQ_LEN),
  packing: choice('--packing', ['concat', 'documents']).default('concat'),
  remainder: choice('--remainder', ['pad', 'drop']).default('pad'),
  validation: z.union([z.number(), z.string()]).default('0.5%').transform(shareOf),
  workers: whole('--workers', 0, 256).default(() => availableParallelism()),
  seed: whole('--seed', 0, Number.MAX_SAFE_INTEGER).default(42),
  dedup: choice('--dedup', ['none', 'exact']).default('none'),
  out: text('--out').optional(),
  rowsPerShard: whole('--rows-per-shard', 1, MAX_IDS_PER_SHARD).default(DEFAULT_ROWS_PER_SHARD),
  rowsPerGroup: whole('rowsPerGroup', 1, 65_536).optional(),
  cacheDownloads: z.boolean().default(false),
});

/**
 * Fills in defaults, checks each value and how they fit together, and freezes the result.
 * @throws TacoError `bad-config`: one line with the flag, what was got and what was expected
 */
export function createPrepareConfig(input: PrepareInput = {}): PrepareConfig {
  const parsed = schema.safeParse(withoutUndefined(input));
  if (!parsed.success)
    throw badConfig(parsed.error.issues[0]?.message ?? 'the settings have an unexpected form');
  const values = parsed.data;
  const { maxSeqLen, rowsPerShard } = values;
  const rowsPerGroup = values.rowsPerGroup ?? Math.min(MAX_ROWS_PER_GROUP, rowsPerShard);
  if (rowsPerShard % rowsPerGroup !== 0) {
    throw badConfig(`--rows-per-shard is ${rowsPerShard}, expected a multiple of ${rowsPerGroup}`);
  }
  if (rowsPerShard * maxSeqLen > MAX_IDS_PER_SHARD) {
    throw badConfig(
      `--rows-per-shard is ${rowsPerShard}, expected at most ${Math.floor(MAX_IDS_PER_SHARD / maxSeqLen)} with --max-seq-len ${maxSeqLen}`,
    );
  }
  const specs = parseSourceSpecs(values.sources);
  const out = values.out ?? defaultFolder(values, specs);
  return Object.freeze({ ...values, sources: Object.freeze(values.sources), rowsPerGroup, out });
}

/** The part of the configuration that the rows depend on, as the manifest keeps it. */
export function settingsOf(config: PrepareConfig): DatasetSettings {
  const { maxSeqLen, packing, remainder, validation, seed, dedup, rowsPerShard, rowsPerGroup } = config;
  return { maxSeqLen, packing, remainder, validation, seed, dedup, rowsPerShard, rowsPerGroup };
}

/** `'0.5%'` or `0.005`, to a share. */
function shareOf(value: number | string, context: z.RefinementCtx): number {
  const match = /^\s*(\d+(?:\.\d+)?|\.\d+)\s*(%?)\s*$/.exec(String(value));
  const share = match === null ? Number.NaN : Number(match[1]) / (match[2] === '%' ? 100 : 1);
  if (share >= 0 && share <= 0.5) return share;
  context.addIssue({
    code: 'custom',
    message: `--validation is ${value}, expected a share from 0 to 50 %, such as 0.5% or 0.005`,
  });
  return z.NEVER;
}

interface FolderFacts {
  readonly sources: readonly string[];
  readonly tokenizer: string;
  readonly maxSeqLen: number;
  readonly packing: string;
  readonly dedup: string;
}

/** `wiki-books-256` and the like: what differs most often is in the name, the manifest holds the rest. */
function defaultFolder(facts: FolderFacts, specs: readonly SourceSpec[]): string {
  const { sources, tokenizer, maxSeqLen, packing, dedup } = facts;
  const isDefault = sources.join('\n') === DEFAULT_SOURCES.join('\n');
  const parts = isDefault ? ['wiki-books'] : specs.map(shortNameOf);
  parts.push(String(maxSeqLen));
  if (packing !== 'concat') parts.push(packing);
  if (dedup !== 'none') parts.push('dedup');
  if (tokenizer !== DEFAULT_TOKENIZER && tokenizer !== BUILTIN_TOKENIZER)
    parts.push(tokenizerName(tokenizer));
  return join(DATASETS_FOLDER, parts.join('-'));
}

function tokenizerName(reference: string): string {
  const last =
    reference
      .split(/[/\\]/)
      .filter((part) => part !== '')
      .at(-1) ?? 'tokenizer';
  return last.replace(/[^A-Za-z0-9.]+/g, '-');
}

function withoutUndefined(input: object): object {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined));
}

function badConfig(message: string): TacoError {
  return new TacoError(message, { code: 'bad-config', stage: 'prepare' });
}
