import type { DatasetTotals, Manifest } from './manifest.ts';

/** Name and text of a line in a table for people. */
export type Fact = readonly [name: string, text: string];

/** What a dataset counts. A total that is not known here is shown under its own name. */
export function describeTotals(totals: DatasetTotals): readonly Fact[] {
  const { documents, textBytes, tokens, unknownTokens, paddingTokens, droppedTokens, ...rest } = totals;
  const { trainRows, validationRows, ...others } = rest;
  const perToken = tokens === 0 ? 'no tokens' : `${(textBytes / tokens).toFixed(2)} bytes a token`;
  return [
    ['documents', exact(documents)],
    ['text', `${exact(textBytes)} bytes, ${perToken}`],
    ['tokens', `${exact(tokens)}, ${share(unknownTokens, tokens)} unknown`],
    ...Object.entries(others as Readonly<Record<string, unknown>>).flatMap(([name, value]): Fact[] =>
      typeof value === 'number' ? [[wordsOf(name), exact(value)]] : [],
    ),
    ['padding', `${exact(paddingTokens)} ids, ${share(paddingTokens, paddingTokens + tokens)} of all`],
    ['dropped', `${exact(droppedTokens)} ids`],
    ['train', `${exact(trainRows)} rows`],
    ['validation', `${exact(validationRows)} rows`],
  ];
}

/** What the rows are made with. */
export function describeMaking({ tokenizer, settings }: Manifest): readonly Fact[] {
  const { maxSeqLen, packing, remainder, validation, seed } = settings;
  const packed =
    packing === 'concat'
      ? `documents one after another, the last row ${remainder === 'pad' ? 'padded' : 'dropped'}`
      : 'one document a row, long ones in several, padded';
  const casing = tokenizer.lowercase ? 'uncased' : 'cased';
  return [
    ['tokenizer', `${tokenizer.reference}: WordPiece, ${casing}, ${exact(tokenizer.vocabSize)} tokens`],
    ['rows', `${maxSeqLen} ids each, ${packed}`],
    ['split', `${percent(validation)} of the documents for validation, seed ${seed}`],
  ];
}

/** The sources, each with the commit that was read. */
export function describeSources({ sources }: Manifest): readonly Fact[] {
  return sources.map(({ spec, repository, config, revision, commit, column, weight, files }, index) => {
    const branch = revision === undefined ? '' : ` (${revision})`;
    const facts = [
      repository,
      config,
      commit === undefined ? undefined : `commit ${commit}${branch}`,
      column === undefined ? undefined : `column ${column}`,
      weight === undefined ? undefined : `weight ${weight}`,
      `${files.length} ${files.length === 1 ? 'file' : 'files'}`,
    ].filter((fact) => fact !== undefined);
    return [sources.length === 1 ? 'source' : `source ${index + 1}`, `${spec}: ${facts.join(', ')}`];
  });
}

/** `12,345` */
export function exact(value: number): string {
  return value.toLocaleString('en-US');
}

function share(part: number, whole: number): string {
  return percent(whole === 0 ? 0 : part / whole);
}

function percent(ratio: number): string {
  return `${Number((100 * ratio).toPrecision(3))} %`;
}

/** `duplicateDocuments` → `duplicate documents` */
function wordsOf(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
