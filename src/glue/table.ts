import { AVERAGED_COLUMNS, type ColumnKey, type TableColumn, WNLI_COLUMN } from './columns.ts';
import { scoreOf } from './metrics.ts';
import { PUBLISHED_ROWS, type PublishedRow } from './published.ts';
import type { EpochEvaluation, GlueResult } from './results.ts';
import type { MetricName } from './tasks.ts';

/** Which epoch of a fine-tuning is reported: the last, or the one that did best on the validation split. */
export type ChosenEpoch = 'last' | 'best';

/** A score over seeds; percent. */
export interface ScoreCell {
  readonly median: number;
  readonly least: number;
  readonly greatest: number;
  readonly numSeeds: number;
  /** Median of each metric that the score is the mean of; only where one was measured. */
  readonly metrics?: Readonly<Record<string, number>>;
}

export interface ScoreRow {
  readonly label: string;
  readonly isPublished: boolean;
  readonly scores: Readonly<Partial<Record<ColumnKey, ScoreCell>>>;
  /** Mean of the nine medians; undefined unless all are there. */
  readonly average: number | undefined;
}

/** Fine-tunings of one pretrained model, by any seeds. */
export interface LabelledResults {
  readonly label: string;
  readonly results: readonly GlueResult[];
}

/** A row for each model and, marked, each of the paper. */
export function scoreTable(
  models: readonly LabelledResults[],
  epoch: ChosenEpoch,
  published: readonly PublishedRow[] = PUBLISHED_ROWS,
): readonly ScoreRow[] {
  return [...models.map((model) => measuredRow(model, epoch)), ...published.map(publishedRow)];
}

function measuredRow({ label, results }: LabelledResults, epoch: ChosenEpoch): ScoreRow {
  const cells = [...AVERAGED_COLUMNS, WNLI_COLUMN].flatMap((column) => {
    const evaluations = metricsOf(results, column, epoch);
    return evaluations.length === 0 ? [] : [[column.key, cellOf(evaluations)] as const];
  });
  const scores = Object.fromEntries(cells) as ScoreRow['scores'];
  return { label, isPublished: false, scores, average: averageOf((key) => scores[key]?.median) };
}

function publishedRow({ label, scores, average }: PublishedRow): ScoreRow {
  const cells = Object.entries(scores).map(([key, score]) => [
    key,
    { median: score, least: score, greatest: score, numSeeds: 1 },
  ]);
  return { label, isPublished: true, scores: Object.fromEntries(cells) as ScoreRow['scores'], average };
}

/** The nine-column average of anything that has a score a column; undefined unless all are there. */
export function averageOf(scoreAt: (key: ColumnKey) => number | undefined): number | undefined {
  let sum = 0;
  for (const { key } of AVERAGED_COLUMNS) {
    const score = scoreAt(key);
    if (score === undefined) return undefined;
    sum += score;
  }
  return sum / AVERAGED_COLUMNS.length;
}

type SplitMetrics = Readonly<Record<string, number | null>>;

function metricsOf(
  results: readonly GlueResult[],
  { task, split }: TableColumn,
  epoch: ChosenEpoch,
): readonly SplitMetrics[] {
  return results
    .filter((result) => result.task === task)
    .map((result) => evaluationOf(result, epoch).metrics[split]!);
}

/** Score of one fine-tuning in a column, percent; undefined for one of another task. */
export function columnScore(
  result: GlueResult,
  { task, split }: TableColumn,
  epoch: ChosenEpoch,
): number | undefined {
  return result.task === task ? 100 * scoreOf(evaluationOf(result, epoch).metrics[split]!) : undefined;
}

function evaluationOf(result: GlueResult, epoch: ChosenEpoch): EpochEvaluation {
  return result.epochs.find((evaluation) => evaluation.epoch === result[epoch].epoch)!;
}

function cellOf(evaluations: readonly SplitMetrics[]): ScoreCell {
  const scores = evaluations.map((metrics) => 100 * scoreOf(metrics));
  const names = Object.keys(evaluations[0]!);
  return {
    median: median(scores),
    least: Math.min(...scores),
    greatest: Math.max(...scores),
    numSeeds: scores.length,
    metrics: Object.fromEntries(
      names.map((name) => [name, median(evaluations.map((metrics) => 100 * (metrics[name] ?? 0)))]),
    ),
  };
}

/** @param values one at least */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
}

/**
 * The table for people: medians, with the least and the greatest where there are several seeds; a dash where nothing
 * was run.
 */
export function tableMarkdown(rows: readonly ScoreRow[], epoch: ChosenEpoch): string {
  const hasWnli = rows.some(({ scores }) => scores.wnli !== undefined);
  const columns = [...AVERAGED_COLUMNS, ...(hasWnli ? [WNLI_COLUMN] : [])];
  const lines = [
    markdownRow(['', ...columns.map(({ title }) => title), 'Avg', 'seeds']),
    markdownRow(['---', ...columns.map(() => '---:'), '---:', '---:']),
    ...rows.map((row) =>
      markdownRow([
        row.isPublished ? `${row.label} (published)` : row.label,
        ...columns.map(({ key }) => cellText(row.scores[key])),
        row.average === undefined ? '–' : row.average.toFixed(1),
        row.isPublished ? '–' : seedsText(row),
      ]),
    ),
  ];
  const chosen = epoch === 'last' ? 'the last epoch' : 'the epoch that did best on the validation split';
  const notes =
    `Validation splits, ${chosen}, percent: median (least to greatest) over seeds. CoLA: Matthews correlation. ` +
    "MRPC and QQP: mean of accuracy and F1, STS-B: mean of Pearson and Spearman, as on GLUE's leaderboard. " +
    `The rest: accuracy. Avg: mean of the nine columns from MNLI-m to RTE${hasWnli ? ', without WNLI' : ''}, as in the ` +
    "published rows; the leaderboard's counts MNLI once, and WNLI. Published rows are as printed; their paper does " +
    'not say which metric stands for MRPC, QQP and STS-B.';
  const paragraphs = [notes, ...rows.flatMap((row) => separateMetrics(row) ?? [])];
  return `${lines.join('\n')}\n\n${paragraphs.join('\n\n')}\n`;
}

const METRIC_TITLES: Readonly<Record<MetricName, string>> = {
  accuracy: 'accuracy',
  f1: 'F1',
  matthews: 'Matthews',
  pearson: 'Pearson',
  spearman: 'Spearman',
};

/** The medians behind the scores that are means of two metrics; undefined where there are none. */
function separateMetrics({ label, scores }: ScoreRow): string | undefined {
  const parts = AVERAGED_COLUMNS.flatMap(({ key, title }) => {
    const metrics = Object.entries(scores[key]?.metrics ?? {});
    const figures = metrics.map(
      ([name, value]) => `${METRIC_TITLES[name as MetricName]} ${value.toFixed(1)}`,
    );
    return figures.length > 1 ? [`${title} ${figures.join(' and ')}`] : [];
  });
  return parts.length === 0 ? undefined : `${label}: ${parts.join(', ')}.`;
}

/** A line of a Markdown table. */
export function markdownRow(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function cellText(cell: ScoreCell | undefined): string {
  if (cell === undefined) return '–';
  const middle = cell.median.toFixed(1);
  return cell.numSeeds === 1 ? middle : `${middle} (${cell.least.toFixed(1)} to ${cell.greatest.toFixed(1)})`;
}

/** `5`, or `3 to 5` where columns differ. */
function seedsText({ scores }: ScoreRow): string {
  const counts = Object.values(scores).map(({ numSeeds }) => numSeeds);
  if (counts.length === 0) return '–';
  const least = Math.min(...counts);
  const greatest = Math.max(...counts);
  return least === greatest ? String(least) : `${least} to ${greatest}`;
}

/** The same for programs. */
export function tableJson(rows: readonly ScoreRow[], epoch: ChosenEpoch): string {
  return `${JSON.stringify({ unit: 'percent', epoch, rows }, undefined, 2)}\n`;
}
