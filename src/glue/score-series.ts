import { basename, dirname } from 'node:path';
import { stepOfName } from '../train/checkpoint.ts';
import type { ScorePoint, ScoreSeries } from '../report/score-plot.ts';
import { AVERAGED_COLUMNS, type TableColumn } from './columns.ts';
import { type ChosenEpoch, columnScore, type LabelledResults, median } from './table.ts';

/** Scores of checkpoints over their steps. */
export interface CheckpointScores {
  readonly series: readonly ScoreSeries[];
  /** Columns that every checkpoint has; a score is the mean over these, of one seed. */
  readonly columns: readonly TableColumn[];
}

/**
 * Checkpoints of one run, or of several, as curves.
 * @param models labelled with their names: checkpoints of one folder make a curve, any other model is one by itself
 */
export function checkpointScores(models: readonly LabelledResults[], epoch: ChosenEpoch): CheckpointScores {
  const columns = AVERAGED_COLUMNS.filter((column) =>
    models.every(({ results }) => results.some(({ task }) => task === column.task)),
  );
  const bySeries = new Map<string, ScorePoint[]>();
  for (const model of models) {
    const isCheckpoint = stepOfName(basename(model.label)) !== undefined;
    const label = isCheckpoint ? dirname(model.label) : model.label;
    const points = bySeries.get(label) ?? [];
    bySeries.set(label, points);
    const point = pointOf(model, columns, epoch);
    if (point !== undefined) points.push(point);
  }
  return { series: Array.from(bySeries, ([label, points]) => ({ label, points })), columns };
}

/** Undefined where no seed has all columns. */
function pointOf(
  { results }: LabelledResults,
  columns: readonly TableColumn[],
  epoch: ChosenEpoch,
): ScorePoint | undefined {
  const seeds = [...new Set(results.map(({ seed }) => seed))];
  const means = seeds.flatMap((seed) => {
    const own = results.filter((result) => result.seed === seed);
    const scores = columns.flatMap((column) =>
      own.flatMap((result) => columnScore(result, column, epoch) ?? []),
    );
    if (columns.length === 0 || scores.length < columns.length) return [];
    return [scores.reduce((sum, score) => sum + score, 0) / scores.length];
  });
  if (means.length === 0) return undefined;
  const { step } = results[0]!.checkpoint;
  return { step, median: median(means), least: Math.min(...means), greatest: Math.max(...means) };
}
