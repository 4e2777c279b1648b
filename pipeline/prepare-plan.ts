import { join } from 'node:path';
import { DEFAULT_TOKENIZER, type PrepareConfig, settingsOf } from './config.ts';
import { TacoError } from './errors.ts';
import { assertFreeFolder } from './shards/check.ts';
import type { DatasetSettings, Manifest, ManifestTokenizer } from './shards/manifest.ts';
import {
  canonicalJson,
  fingerprintOf,
  manifestFile,
  readManifest,
  SCHEMA_VERSION,
} from './shards/manifest.ts';
import { noTotals } from './shards/totals.ts';
import type { Input } from './sources/mix.ts';
import { openInput } from './sources/mix.ts';
import type { SourceContext, SourceIdentity } from './sources/source.ts';
import { BUILTIN_TOKENIZER, builtinTokenizer } from './text/builtin-vocabulary.ts';
import { loadTokenizer, type TokenizerFiles } from './text/load-tokenizer.ts';
import { type TokenizerSpec, tokenizerFingerprint } from './text/vocabulary.ts';

/** What preparation needs from outside. */
export interface PrepareContext {
  /** Network, endpoint, token and local files of the sources; pins are added from the manifest. */
  readonly sources: SourceContext;
  /** Tokenizers on the Hub. */
  readonly tokenizers: TokenizerFiles;
  /** Something the user should know that is no error, in one line. */
  readonly onNote?: ((text: string) => void) | undefined;
  /** Told the tokenizer where there is something to prepare, before the sources are looked at, which may take long. */
  readonly onTokenizer?: ((tokenizer: TokenizerSpec) => void) | undefined;
}

/** What a run would do, with everything resolved. */
export interface PreparePlan {
  readonly config: PrepareConfig;
  readonly input: Input;
  readonly tokenizer: TokenizerSpec;
  /** The manifest to begin with: no shard, or the folder's own. */
  readonly manifest: Manifest;
  readonly exists: boolean;
}

/** The flag that a setting comes from, for messages. */
const flagOf: Readonly<Record<keyof DatasetSettings, string>> = {
  maxSeqLen: '--max-seq-len',
  packing: '--packing',
  remainder: '--remainder',
  validation: '--validation',
  seed: '--seed',
  dedup: '--dedup',
  rowsPerShard: '--rows-per-shard',
  rowsPerGroup: 'rowsPerGroup',
};

/**
 * Resolves sources and tokenizer and compares them with what the folder holds. Writes nothing. A manifest without
 * a shard binds nobody: who made a mistake in a flag corrects it and goes on in the same folder.
 * @throws TacoError `mismatch` when the folder was prepared with something else: both values are named
 */
export async function planPreparation(config: PrepareConfig, context: PrepareContext): Promise<PreparePlan> {
  const existing = await readManifest(config.out);
  if (existing === undefined) await assertFreeFolder(config.out);
  try {
    return await planWith(existing, config, context);
  } catch (error) {
    const isMismatch = error instanceof TacoError && error.code === 'mismatch';
    if (!isMismatch || existing?.shards.length !== 0) throw error;
    return planWith(undefined, config, context);
  }
}

async function planWith(
  existing: Manifest | undefined,
  config: PrepareConfig,
  context: PrepareContext,
): Promise<PreparePlan> {
  if (existing !== undefined) assertSameSettings(existing, settingsOf(config), config);
  const tokenizer = await openTokenizer(config, context, existing);
  const facts = tokenizerFacts(config.tokenizer, tokenizer);
  if (existing !== undefined) assertSameTokenizer(existing, facts, config);
  if (existing?.status !== 'complete') context.onTokenizer?.(tokenizer);
  const pinned = existing?.sources;
  const input = await openInput(
    config.sources,
    pinned === undefined ? context.sources : { ...context.sources, pinned },
  );
  if (existing !== undefined) assertSameSources(existing, input.identities, config);

  const description = { settings: settingsOf(config), sources: input.identities, tokenizer: facts };
  const fingerprint = fingerprintOf(description);
  if (existing !== undefined && existing.fingerprint !== fingerprint) {
    throw mismatch(config, `fingerprint ${existing.fingerprint}`, `fingerprint ${fingerprint}`);
  }
  const manifest = existing ?? newManifest({ ...description, fingerprint });
  return { config, input, tokenizer, manifest, exists: existing !== undefined };
}

/**
 * A tokenizer that the folder already holds is read from there: same bytes, no network. The default one also
 * comes with the package, so that local text can be prepared where no Hub can be reached.
 */
async function openTokenizer(
  config: PrepareConfig,
  context: PrepareContext,
  existing: Manifest | undefined,
): Promise<TokenizerSpec> {
  if (existing?.tokenizer.reference === config.tokenizer) {
    const own = await loadTokenizer(config.out, context.tokenizers).catch(() => undefined);
    if (own !== undefined && tokenizerFingerprint(own) === existing.tokenizer.fingerprint) return own;
  }
  try {
    return await loadTokenizer(config.tokenizer, context.tokenizers);
  } catch (error) {
    const isDefault = config.tokenizer === DEFAULT_TOKENIZER;
    if (!isDefault || !(error instanceof TacoError) || error.code !== 'network') throw error;
    context.onNote?.(
      `${config.tokenizer} cannot be fetched; using the same vocabulary from the package (${BUILTIN_TOKENIZER})`,
    );
    return builtinTokenizer();
  }
}

function tokenizerFacts(reference: string, spec: TokenizerSpec): ManifestTokenizer {
  return {
    reference,
    kind: spec.kind,
    lowercase: spec.lowercase,
    vocabSize: spec.vocabulary.length,
    sha256: spec.sha256,
    fingerprint: tokenizerFingerprint(spec),
    specialTokenIds: spec.specialTokenIds,
  };
}

function newManifest(facts: Pick<Manifest, 'settings' | 'sources' | 'tokenizer' | 'fingerprint'>): Manifest {
  return {
    schemaVersion: SCHEMA_VERSION,
    status: 'running',
    ...facts,
    shards: [],
    seen: [],
    totals: noTotals,
  };
}

function assertSameSettings(existing: Manifest, asked: DatasetSettings, config: PrepareConfig): void {
  for (const name of Object.keys(flagOf) as (keyof DatasetSettings)[]) {
    const was = existing.settings[name];
    if (was !== asked[name])
      throw mismatch(config, `${flagOf[name]} ${was}`, `${flagOf[name]} ${asked[name]}`);
  }
}

function assertSameTokenizer(existing: Manifest, asked: ManifestTokenizer, config: PrepareConfig): void {
  const was = existing.tokenizer;
  if (was.fingerprint === asked.fingerprint) return;
  throw mismatch(config, describeTokenizer(was), describeTokenizer(asked));
}

function describeTokenizer({ reference, lowercase, sha256, fingerprint }: ManifestTokenizer): string {
  const identity = `vocabulary ${sha256.slice(0, 12)}, settings ${fingerprint.slice(0, 12)}`;
  return `--tokenizer ${reference} (${lowercase ? 'uncased' : 'cased'}, ${identity})`;
}

function assertSameSources(
  existing: Manifest,
  asked: readonly SourceIdentity[],
  config: PrepareConfig,
): void {
  const decisive = (source: SourceIdentity): string => canonicalJson({ ...source, spec: undefined });
  const count = Math.max(existing.sources.length, asked.length);
  for (let index = 0; index < count; index += 1) {
    const was = existing.sources[index];
    const is = asked[index];
    if (was === undefined || is === undefined) {
      throw mismatch(config, listOf(existing.sources), listOf(asked));
    }
    if (decisive(was) !== decisive(is)) throw mismatch(config, ...describeDifference(was, is));
  }
}

function listOf(sources: readonly SourceIdentity[]): string {
  return sources.map(nameOf).join(' ');
}

function nameOf({ spec, weight }: SourceIdentity): string {
  return `--source ${weight === undefined ? '' : `${weight}:`}${spec}`;
}

/** The first thing that differs, of the one and of the other. */
function describeDifference(was: SourceIdentity, is: SourceIdentity): [string, string] {
  for (const key of ['kind', 'repository', 'commit', 'config', 'column', 'weight'] as const) {
    if (was[key] === is[key]) continue;
    return [`${nameOf(was)} (${key} ${was[key] ?? 'none'})`, `${nameOf(is)} (${key} ${is[key] ?? 'none'})`];
  }
  const index = was.files.findIndex(
    (file, place) => canonicalJson(file) !== canonicalJson(is.files[place] ?? null),
  );
  const before = was.files[index];
  const after = is.files[index < 0 ? was.files.length : index];
  const describe = (file: typeof before): string =>
    file === undefined ? 'no such file' : `${file.path}, ${file.sizeBytes} bytes, ${file.digest}`;
  return [`${nameOf(was)} (${describe(before)})`, `${nameOf(is)} (${describe(after)})`];
}

function mismatch(config: PrepareConfig, was: string, is: string): TacoError {
  return new TacoError(
    `${config.out} was prepared with ${was}, now it is ${is}; take the same again, or another folder with --out`,
    { code: 'mismatch', stage: 'prepare', path: join(config.out, manifestFile) },
  );
}
