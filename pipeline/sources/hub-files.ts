/** Choosing a dataset's training files from a repository's listing. Pure. */

const SPLIT_WORDS = /^(train|training|test|testing|val|valid|validation|dev|eval|evaluation)$/;
const TRAIN_WORDS = /^(train|training)$/;

export type FileChoice =
  | { readonly kind: 'files'; readonly config: string | undefined; readonly paths: readonly string[] }
  /** Parquet is there, but the config has to be named, or is another. */
  | { readonly kind: 'configs'; readonly configs: readonly string[] }
  /** The Hub converted only the beginning of a large dataset. */
  | { readonly kind: 'partial'; readonly config: string }
  /** No Parquet at all. */
  | { readonly kind: 'none' };

/**
 * The Parquet files of a config's train split. Layouts known: `<config>/train-*.parquet`,
 * `<config>/train/*.parquet`, `data/train-*.parquet`, `data/<config>/…`, `train.parquet`, and folders without
 * any split in their names, which are all training data.
 * @param paths every file of the repository, or of one of its folders
 * @param config as asked for, undefined for the only one or the one called `default`
 */
export function chooseTrainFiles(paths: readonly string[], config: string | undefined): FileChoice {
  const parquet = paths.filter((path) => path.endsWith('.parquet')).sort(byCodeUnit);
  if (parquet.length === 0) return { kind: 'none' };
  const groups = new Map<string, string[]>();
  for (const path of parquet) {
    const key = configOf(path);
    groups.set(key, [...(groups.get(key) ?? []), path]);
  }
  if (config !== undefined) {
    const named = parquet.filter((path) => isInside(path, config) || isInside(path, `data/${config}`));
    const chosen = named.length === 0 && config === 'default' ? groups.get('') : named;
    if (chosen === undefined || chosen.length === 0) return { kind: 'configs', configs: namesOf(groups) };
    return chooseSplit(chosen, config);
  }
  const only =
    groups.get('') ?? groups.get('default') ?? (groups.size === 1 ? [...groups.values()][0] : undefined);
  if (only === undefined) return { kind: 'configs', configs: namesOf(groups) };
  const found = configOf(only[0]!);
  return chooseSplit(only, found === '' ? undefined : found);
}

function chooseSplit(paths: readonly string[], config: string | undefined): FileChoice {
  const train = paths.filter((path) => wordsOf(path, config).some((word) => TRAIN_WORDS.test(word)));
  const whole = train.filter((path) => !wordsOf(path, config).includes('partial'));
  if (train.length > 0 && whole.length === 0) return { kind: 'partial', config: config ?? 'default' };
  if (whole.length > 0) return { kind: 'files', config, paths: whole };
  const unnamed = paths.every((path) => !wordsOf(path, config).some((word) => SPLIT_WORDS.test(word)));
  return unnamed ? { kind: 'files', config, paths } : { kind: 'none' };
}

/** Words of a path behind its config, `data/train-00000-of-00002.parquet` → data, train, 00000, of, 00002. */
function wordsOf(path: string, config: string | undefined): readonly string[] {
  const folder = config === undefined ? '' : `${config}/`;
  const rest = path.startsWith(folder) ? path.slice(folder.length) : path;
  return rest
    .toLowerCase()
    .replace(/\.parquet$/, '')
    .split(/[^a-z0-9]+/);
}

/** The config that a path belongs to by its first folder; empty for files at the top, in `data` or in a split's folder. */
function configOf(path: string): string {
  const folders = path.split('/').slice(0, -1);
  const first = folders[0] === 'data' ? folders[1] : folders[0];
  return first === undefined || SPLIT_WORDS.test(first) ? '' : first;
}

function isInside(path: string, folder: string): boolean {
  return path.startsWith(`${folder}/`);
}

function namesOf(groups: ReadonlyMap<string, unknown>): readonly string[] {
  return [...groups.keys()].map((name) => (name === '' ? 'default' : name)).sort(byCodeUnit);
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
