import { TacoError } from '../errors.ts';

/**
 * What a `--source` says, parsed. The forms:
 *
 * - `wikipedia` or `wikipedia:20231101.de`: one dump of wikimedia/wikipedia
 * - `bookcorpus`: bookcorpus/bookcorpus, through the Hub's own conversion to Parquet
 * - `hub:org/name[/config][@revision][#column]`: any dataset of the Hub; the config may be a folder (`sample/10BT`)
 * - `file:<path, folder or glob>[#column]`: local Parquet and JSON lines, column or field `text` unless named
 * - `file:<path, folder or glob>[#lines|#file]`: local plain text, one document a line (the default) or a file
 * - `sample`: the English speeches that come with the package
 *
 * JSON lines and plain text may end in `.gz` or `.zst`. A number and a colon in front (`3:wikipedia`) is the
 * weight of a mixture; either every source has one or none. In a path that itself contains `#`, add the column:
 * the last `#` always begins it.
 */
export type SourceSpec = HubSpec | FileSpec | SampleSpec;

interface SpecBase {
  /** As the user wrote it, without the weight. */
  readonly text: string;
  /** Share of the text bytes in a mixture, relative to the other sources' weights. */
  readonly weight: number | undefined;
}

export interface HubSpec extends SpecBase {
  readonly kind: 'hub';
  /** `org/name` */
  readonly repository: string;
  /** Branch, tag or commit as asked for; undefined takes `main`, or the converted branch if that has no Parquet. */
  readonly revision: string | undefined;
  readonly config: string | undefined;
  readonly column: string;
}

export interface FileSpec extends SpecBase {
  readonly kind: 'file';
  /** Path, folder or glob. */
  readonly pattern: string;
  /** What stands behind `#`: a column, or `lines` or `file` for plain text. */
  readonly selector: string | undefined;
}

export interface SampleSpec extends SpecBase {
  readonly kind: 'sample';
}

export const DEFAULT_COLUMN = 'text';
/** Branch where the Hub keeps its own conversion of a dataset to Parquet. */
export const CONVERTED_REVISION = 'refs/convert/parquet';
const DEFAULT_WIKIPEDIA_DUMP = '20231101.en';

const FORMS = 'wikipedia[:dump], bookcorpus, hub:org/name[/config][@revision][#column], file:<path>, sample';

/**
 * Parses one `--source`.
 * @throws TacoError `bad-config` when the text has none of the forms above
 */
export function parseSourceSpec(text: string): SourceSpec {
  const weighted = /^(\d+(?:\.\d+)?):(.*)$/s.exec(text.trim());
  const weight = weighted === null ? undefined : Number(weighted[1]);
  const body = (weighted === null ? text : weighted[2]!).trim();
  if (weight !== undefined && !(weight > 0)) {
    throw badSpec(text, `has weight ${weight}, expected a number above 0`);
  }
  const base: SpecBase = { text: body, weight };
  if (body === 'sample') return { ...base, kind: 'sample' };
  if (body === 'bookcorpus') {
    return {
      ...base,
      kind: 'hub',
      repository: 'bookcorpus/bookcorpus',
      revision: CONVERTED_REVISION,
      config: 'plain_text',
      column: DEFAULT_COLUMN,
    };
  }
  if (body === 'wikipedia' || body.startsWith('wikipedia:')) return { ...base, ...wikipedia(body) };
  if (body.startsWith('hub:')) return { ...base, ...hubDataset(body) };
  if (body.startsWith('file:')) return { ...base, ...localFiles(body) };
  throw badSpec(text, `is not a source; expected one of ${FORMS}`);
}

/**
 * Parses all `--source` of a run.
 * @throws TacoError `bad-config` when there is none, or only some have weights
 */
export function parseSourceSpecs(texts: readonly string[]): readonly SourceSpec[] {
  if (texts.length === 0) {
    throw new TacoError(`no source given; expected at least one of ${FORMS}`, {
      code: 'bad-config',
      stage: 'source',
    });
  }
  const specs = texts.map(parseSourceSpec);
  const bare = specs.find((spec) => spec.weight === undefined);
  if (bare !== undefined && specs.some((spec) => spec.weight !== undefined)) {
    throw badSpec(
      bare.text,
      `has no weight but others have; give all of them one, for instance 1:${bare.text}`,
    );
  }
  return specs;
}

/** A short name of a source for folders and progress lines: letters, digits, dots and dashes. */
export function shortNameOf(spec: SourceSpec): string {
  switch (spec.kind) {
    case 'sample':
      return 'sample';
    case 'hub':
      return slug(
        spec.text.startsWith('hub:')
          ? [spec.repository.split('/')[1], spec.config].filter(Boolean).join('-')
          : spec.text,
      );
    case 'file': {
      const parts = spec.pattern.split('/').filter((part) => part !== '' && !part.includes('*'));
      return slug((parts.at(-1) ?? 'files').replace(/\.[^/]*$/, ''));
    }
  }
}

function slug(text: string): string {
  const clean = text.replace(/[^A-Za-z0-9.]+/g, '-').replace(/^[-.]+|[-.]+$/g, '');
  return clean === '' ? 'files' : clean;
}

function wikipedia(body: string): Omit<HubSpec, keyof SpecBase> {
  const dump = body === 'wikipedia' ? DEFAULT_WIKIPEDIA_DUMP : body.slice('wikipedia:'.length);
  if (!/^\d{8}\.[a-z][a-z0-9-]*$/.test(dump)) {
    throw badSpec(body, `names dump ${dump}, expected <date>.<language> such as ${DEFAULT_WIKIPEDIA_DUMP}`);
  }
  return {
    kind: 'hub',
    repository: 'wikimedia/wikipedia',
    revision: undefined,
    config: dump,
    column: DEFAULT_COLUMN,
  };
}

function hubDataset(body: string): Omit<HubSpec, keyof SpecBase> {
  const { head, selector } = splitSelector(body, 'hub:');
  const at = head.indexOf('@');
  const path = at < 0 ? head : head.slice(0, at);
  const revision = at < 0 ? undefined : head.slice(at + 1);
  const [org, name, ...config] = path.split('/');
  const bad =
    [org, name].some((part) => part === undefined || !/^\w[\w.-]*$/.test(part)) ||
    config.some((part) => !/^[^\s.][^\s]*$/.test(part));
  if (bad || revision === '' || /\s/.test(revision ?? '')) {
    throw badSpec(body, 'is not a Hub dataset; expected hub:org/name[/config][@revision][#column]');
  }
  return {
    kind: 'hub',
    repository: `${org!}/${name!}`,
    revision,
    config: config.length === 0 ? undefined : config.join('/'),
    column: selector ?? DEFAULT_COLUMN,
  };
}

function localFiles(body: string): Omit<FileSpec, keyof SpecBase> {
  const { head, selector } = splitSelector(body, 'file:');
  if (head === '') throw badSpec(body, 'names no file; expected file:<path, folder or glob>[#column]');
  return { kind: 'file', pattern: head, selector };
}

function splitSelector(body: string, prefix: string): { head: string; selector: string | undefined } {
  const text = body.slice(prefix.length);
  const hash = text.lastIndexOf('#');
  if (hash < 0) return { head: text, selector: undefined };
  const selector = text.slice(hash + 1);
  if (selector === '') throw badSpec(body, 'ends in # without a column name');
  return { head: text.slice(0, hash), selector };
}

function badSpec(text: string, what: string): TacoError {
  return new TacoError(`--source ${text} ${what}`, { code: 'bad-config', stage: 'source' });
}
