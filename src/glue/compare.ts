import { AVERAGED_COLUMNS, type TableColumn, WNLI_COLUMN } from './columns.ts';
import { pairedTTest, signFlipTest } from './paired-tests.ts';
import { type Difference, differencesOf, type GlueResult } from './results.ts';
import { averageOf, type ChosenEpoch, columnScore, type LabelledResults, markdownRow } from './table.ts';

/** Scores of one seed in both models; percent. */
export interface ScorePair {
  readonly seed: number;
  readonly first: number;
  readonly second: number;
}

/** One column of a comparison, over the seeds that both models have. */
export interface ColumnComparison {
  readonly title: string;
  /** By seed, ascending; one at least. */
  readonly pairs: readonly ScorePair[];
  /** Mean of second − first, in points. */
  readonly meanDifference: number;
  /** Exact sign-flip test, see `signFlipTest`. */
  readonly signFlipP: number;
  /** Paired t-test; undefined where it is not defined. */
  readonly tTestP: number | undefined;
}

export interface Comparison {
  readonly first: string;
  readonly second: string;
  /** Columns that both have a seed of. */
  readonly columns: readonly ColumnComparison[];
  /** The nine-column average, over the seeds that have all nine in both; undefined without any. */
  readonly average: ColumnComparison | undefined;
  /** Ways in which the two were fine-tuned differently, other than the checkpoint: the scores are then not comparable. */
  readonly unequal: readonly Difference[];
}

/** Compares two pretrained models seed by seed. */
export function compareModels(
  first: LabelledResults,
  second: LabelledResults,
  epoch: ChosenEpoch,
): Comparison {
  const scores = new Map<TableColumn, readonly ScorePair[]>(
    [...AVERAGED_COLUMNS, WNLI_COLUMN].map((column) => [
      column,
      pairsOf(first.results, second.results, column, epoch),
    ]),
  );
  const columns = [...scores].flatMap(([{ title }, pairs]) =>
    pairs.length === 0 ? [] : [comparisonOf(title, pairs)],
  );
  const average = averagePairs(scores);
  return {
    first: first.label,
    second: second.label,
    columns,
    average: average.length === 0 ? undefined : comparisonOf('Avg', average),
    unequal: unequalSettings(first.results, second.results),
  };
}

function pairsOf(
  first: readonly GlueResult[],
  second: readonly GlueResult[],
  column: TableColumn,
  epoch: ChosenEpoch,
): readonly ScorePair[] {
  return first
    .flatMap((result) => {
      const other = second.find(({ task, seed }) => task === result.task && seed === result.seed);
      const score = columnScore(result, column, epoch);
      const otherScore = other === undefined ? undefined : columnScore(other, column, epoch);
      return score === undefined || otherScore === undefined
        ? []
        : [{ seed: result.seed, first: score, second: otherScore }];
    })
    .sort((a, b) => a.seed - b.seed);
}

function averagePairs(scores: ReadonlyMap<TableColumn, readonly ScorePair[]>): readonly ScorePair[] {
  const byKey = new Map([...scores].map(([{ key }, pairs]) => [key, pairs]));
  const seeds = byKey.get('mnli-m')!.map(({ seed }) => seed);
  return seeds.flatMap((seed) => {
    const side = (which: 'first' | 'second') =>
      averageOf((key) => byKey.get(key)!.find((pair) => pair.seed === seed)?.[which]);
    const first = side('first');
    const second = side('second');
    return first === undefined || second === undefined ? [] : [{ seed, first, second }];
  });
}

function comparisonOf(title: string, pairs: readonly ScorePair[]): ColumnComparison {
  const differences = pairs.map(({ first, second }) => second - first);
  return {
    title,
    pairs,
    meanDifference: differences.reduce((sum, value) => sum + value, 0) / differences.length,
    signFlipP: signFlipTest(differences),
    tTestP: pairedTTest(differences),
  };
}

function unequalSettings(first: readonly GlueResult[], second: readonly GlueResult[]): readonly Difference[] {
  const found = new Map<string, Difference>();
  for (const result of first) {
    const other = second.find(({ task, seed }) => task === result.task && seed === result.seed);
    if (other === undefined) continue;
    const differences = differencesOf(result, { ...other, checkpoint: result.checkpoint });
    for (const difference of differences)
      if (!found.has(difference.name)) found.set(difference.name, difference);
  }
  return [...found.values()];
}

/** The comparison for people: means over the common seeds, differences and their tests. */
export function comparisonMarkdown(comparison: Comparison, epoch: ChosenEpoch): string {
  const { first, second, columns, average, unequal } = comparison;
  const all = average === undefined ? columns : [...columns, average];
  const header = ['', first, second, 'difference', 'seeds', 'p, sign-flip', 'p, t-test'];
  const lines = [
    markdownRow(header),
    markdownRow(header.map((_, index) => (index === 0 ? '---' : '---:'))),
    ...all.map((column) =>
      markdownRow([
        column.title,
        meanOf(column.pairs, 'first').toFixed(1),
        meanOf(column.pairs, 'second').toFixed(1),
        signed(column.meanDifference),
        String(column.pairs.length),
        column.signFlipP.toFixed(4),
        column.tTestP === undefined ? '–' : column.tTestP.toFixed(4),
      ]),
    ),
  ];
  const chosen = epoch === 'last' ? 'last epoch' : 'best epoch';
  const notes = [
    `Means over the seeds that both have, ${chosen}, percent. The sign-flip test is exact and two-sided: with n seeds ` +
      'its p is at least 2 / 2^n, so that five seeds cannot go below 0.0625. No p is corrected for the number of columns.',
    ...unequal.map(
      (difference) =>
        `Not fine-tuned alike: ${difference.name} is ${difference.first} for ${first} and ${difference.second} for ${second}.`,
    ),
  ];
  return `${lines.join('\n')}\n\n${notes.join('\n\n')}\n`;
}

function meanOf(pairs: readonly ScorePair[], side: 'first' | 'second'): number {
  return pairs.reduce((sum, pair) => sum + pair[side], 0) / pairs.length;
}

function signed(value: number): string {
  const text = Math.abs(value).toFixed(1);
  return text === '0.0' ? text : `${value < 0 ? '−' : '+'}${text}`;
}
