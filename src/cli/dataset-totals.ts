import type { Manifest } from '../../pipeline/index.ts';
import { percent } from './preparation-plan.ts';
import { formatBytes } from './progress.ts';

/** Name and value of each figure of a dataset, for people. */
export function describeTotals({
  totals,
  shards,
  settings,
}: Pick<Manifest, 'totals' | 'shards' | 'settings'>): readonly (readonly [string, string])[] {
  const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
  const { documents, duplicateDocuments, textTokens, duplicateTokens, tokens, paddingTokens } = totals;
  return [
    ['documents', `${documents}`],
    [
      'duplicates',
      settings.dedup === 'none'
        ? 'not looked for (--dedup exact)'
        : `${duplicateDocuments} left out (${percent(ratio(duplicateDocuments, documents))}), ${duplicateTokens} tokens`,
    ],
    [
      'text',
      `${formatBytes(totals.textBytes)}, ${ratio(totals.characters, textTokens).toFixed(2)} characters per token`,
    ],
    ['tokens', `${tokens} (unknown ${percent(ratio(totals.unknownTokens, textTokens))})`],
    ['train', `${totals.trainRows} rows`],
    ['validation', `${totals.validationRows} rows`],
    ['padding', `${paddingTokens} ids (${percent(ratio(paddingTokens, paddingTokens + tokens))})`],
    ['dropped', `${totals.droppedTokens} ids`],
    ['shards', `${shards.length}, ${formatBytes(bytes)}`],
  ];
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
