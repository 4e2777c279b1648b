import type { DatasetTotals } from './manifest.ts';

/** The tally of nothing. */
export const noTotals: DatasetTotals = {
  documents: 0,
  duplicateDocuments: 0,
  textBytes: 0,
  characters: 0,
  textTokens: 0,
  duplicateTokens: 0,
  unknownTokens: 0,
  tokens: 0,
  paddingTokens: 0,
  droppedTokens: 0,
  trainRows: 0,
  validationRows: 0,
};

/** Sum of two tallies. */
export function addTotals(a: DatasetTotals, b: DatasetTotals): DatasetTotals {
  const sum = { ...a };
  for (const name of Object.keys(noTotals) as (keyof DatasetTotals)[]) sum[name] += b[name];
  return sum;
}
