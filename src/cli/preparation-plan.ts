import { percent, type PreparePlan, type SourceIdentity } from '../../pipeline/index.ts';
import { formatBytes, formatCount } from './progress.ts';

/** Files that are listed one by one; of more, the first and the last. */
const MAX_FILES_LISTED = 4;

/** What a run would do, for people: `--dry-run` prints it. */
export function describePlan({ config, input, manifest, exists, tokenizer }: PreparePlan): string {
  const { settings } = manifest;
  const rows: readonly (readonly [string, string])[] = [
    ...manifest.sources.flatMap((source, index) => describeSource(source, index, manifest.sources.length)),
    ['input', `${formatBytes(input.totalBytes)} in all`],
    [
      'tokenizer',
      `${config.tokenizer}: WordPiece, ${tokenizer.lowercase ? 'uncased' : 'cased'}, ${tokenizer.vocabulary.length} tokens, vocabulary sha256 ${tokenizer.sha256.slice(0, 12)}…`,
    ],
    ['rows', `${settings.maxSeqLen} ids each, ${describePacking(settings)}`],
    [
      'validation',
      `${percent(settings.validation)} of the documents, by their hash and seed ${settings.seed}`,
    ],
    ['shards', `Parquet, ${settings.rowsPerShard} rows each (${settings.rowsPerGroup} a row group)`],
    ['workers', `${config.workers} tokenizer ${config.workers === 1 ? 'thread' : 'threads'}`],
    [
      'downloads',
      config.cacheDownloads ? 'whole files are kept in cache/hub' : 'only the bytes that are needed',
    ],
    ['output', config.out],
    ['exists', exists ? describeExisting(manifest) : 'nothing yet'],
  ];
  return rows.map(([name, text]) => `${name.padEnd(12)}${text}`).join('\n');
}

function describeSource(source: SourceIdentity, index: number, count: number): [string, string][] {
  const { spec, weight, repository, commit, revision, config, column, files } = source;
  const size = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  const facts = [
    ...(repository === undefined ? [] : [repository]),
    ...(config === undefined ? [] : [config]),
    ...(commit === undefined
      ? []
      : [`commit ${commit.slice(0, 12)}${revision === undefined ? '' : ` (${revision})`}`]),
    ...(column === undefined ? [] : [`column ${column}`]),
    ...(weight === undefined ? [] : [`weight ${weight}`]),
    `${files.length} ${files.length === 1 ? 'file' : 'files'}, ${formatBytes(size)}`,
  ];
  const listed =
    files.length <= MAX_FILES_LISTED ? files : [...files.slice(0, 2), undefined, ...files.slice(-1)];
  return [
    [count === 1 ? 'source' : `source ${index + 1}`, `${spec}: ${facts.join(', ')}`],
    ...listed.map((file): [string, string] => [
      '',
      file === undefined ? '…' : `${file.path} (${formatBytes(file.sizeBytes)})`,
    ]),
  ];
}

function describePacking({ packing, remainder }: PreparePlan['manifest']['settings']): string {
  return packing === 'concat'
    ? `documents concatenated, the last row ${remainder === 'pad' ? 'padded' : 'dropped'}`
    : 'one document a row, padded';
}

function describeExisting({ status, shards, totals }: PreparePlan['manifest']): string {
  const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
  const facts = `${shards.length} shards, ${formatCount(totals.trainRows + totals.validationRows)} rows, ${formatBytes(bytes)}`;
  return status === 'complete' ? `complete: ${facts}` : `interrupted, goes on after ${facts}`;
}
