import type { DatasetTotals } from './manifest.ts';

/** The tally of nothing. */
export const noTotals: DatasetTotals = {
  documents: 0,
  textBytes: 0,
  tokens: 0,
  unknownTokens: 0,
  paddingTokens: 0,
  droppedTokens: 0,
  trainRows: 0,
  validationRows: 0,
};

/** Sum of two tallies. */
export function addTotals(a: DatasetTotals, b: DatasetTotals): DatasetTotals {
  return {
    documents: a.documents + b.documents,
    textBytes: a.textBytes + b.textBytes,
    tokens: a.tokens + b.tokens,
    unknownTokens: a.unknownTokens + b.unknownTokens,
    paddingTokens: a.paddingTokens + b.paddingTokens,
    droppedTokens: a.droppedTokens + b.droppedTokens,
    trainRows: a.trainRows + b.trainRows,
    validationRows: a.validationRows + b.validationRows,
  };
}
