import type { Manifest } from './manifest.ts';

/** Name and text of a line in a table for people. */
export type Fact = readonly [name: string, text: string];

/** What a dataset counts. */
export function describeTotals({ totals, settings }: Pick<Manifest, 'totals' | 'settings'>): readonly Fact[] {
  const { documents, duplicateDocuments, textTokens, duplicateTokens, tokens, paddingTokens } = totals;
  const perToken = ratio(totals.characters, textTokens).toFixed(2);
  return [
    ['documents', exact(documents)],
    [
      'duplicates',
      settings.dedup === 'none'
        ? 'not looked for (--dedup exact)'
        : `${exact(duplicateDocuments)} left out (${share(duplicateDocuments, documents)}), ${exact(duplicateTokens)} tokens`,
    ],
    ['text', `${exact(totals.textBytes)} bytes, ${perToken} characters per token`],
    ['tokens', `${exact(tokens)} (unknown ${share(totals.unknownTokens, textTokens)})`],
    ['train', `${exact(totals.trainRows)} rows`],
    ['validation', `${exact(totals.validationRows)} rows`],
    ['padding', `${exact(paddingTokens)} ids (${share(paddingTokens, paddingTokens + tokens)})`],
    ['dropped', `${exact(totals.droppedTokens)} ids`],
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
  return percent(ratio(part, whole));
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}

/** `0.5 %` */
export function percent(value: number): string {
  return `${Number((100 * value).toPrecision(3))} %`;
}

/** Facts as a table in Markdown. */
export function factTable(facts: readonly Fact[]): string[] {
  const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll(/\s+/g, ' ');
  return ['| | |', '|---|---|', ...facts.map(([name, text]) => `| ${cell(name)} | ${cell(text)} |`)];
}
