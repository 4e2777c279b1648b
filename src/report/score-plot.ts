import type { Point } from './series.ts';
import { circle, curve, document, type Frame, line, NUM_SERIES_COLOURS, scale, text } from './svg.ts';
import { niceAxis, tickLabel } from './ticks.ts';

/** A model's score at a checkpoint, over seeds. */
export interface ScorePoint {
  /** Updates of pretraining. */
  readonly step: number;
  readonly median: number;
  readonly least: number;
  readonly greatest: number;
}

/** Checkpoints of one pretraining, in any order. */
export interface ScoreSeries {
  readonly label: string;
  readonly points: readonly ScorePoint[];
}

export interface ScorePlotOptions {
  readonly title: string;
  /** What the scores are, as in `GLUE average (percent)`. */
  readonly scoreName: string;
}

const WIDTH = 600;
const PLOT_HEIGHT = 280;
const LEGEND_LINE = 18;
const MARGIN = { left: 58, right: 22, top: 68, bottom: 56 } as const;

/**
 * Draws scores against steps of pretraining, a curve for each series (Figure 5 of the paper): dots are medians,
 * upright lines reach from the least to the greatest over seeds.
 * @returns an SVG document
 */
export function scorePlot(series: readonly ScoreSeries[], { title, scoreName }: ScorePlotOptions): string {
  const sorted = series.map(({ label, points }) => ({
    label,
    points: [...points].sort((a, b) => a.step - b.step),
  }));
  const top = MARGIN.top + LEGEND_LINE * sorted.length;
  const frame: Frame = { left: MARGIN.left, right: WIDTH - MARGIN.right, top, bottom: top + PLOT_HEIGHT };
  const all = sorted.flatMap(({ points }) => points);
  const steps = niceAxis(0, Math.max(1, ...all.map(({ step }) => step)), 5, true);
  const scores =
    all.length === 0
      ? niceAxis(0, 100, 5)
      : niceAxis(
          Math.min(...all.map(({ least }) => least)),
          Math.max(...all.map(({ greatest }) => greatest)),
          6,
        );
  const x = (step: number): number => scale(step, steps, frame.left, frame.right);
  const y = (score: number): number => scale(score, scores, frame.bottom, frame.top);

  return document(
    { width: WIDTH, height: frame.bottom + MARGIN.bottom, title, description: describe(sorted, scoreName) },
    [
      text(frame.left, 28, 'ink title', 'start', title),
      text(frame.left, 50, 'ink heading', 'start', scoreName),
      ...sorted.flatMap(({ label }, index) => legendEntry(label, index, frame.left)),
      ...scores.ticks.map((tick) => line('grid', frame.left, y(tick), frame.right, y(tick))),
      ...scores.ticks.map((tick) => text(frame.left - 8, y(tick) + 4, 'soft', 'end', tickLabel(tick))),
      ...steps.ticks.map((tick) => line('axis', x(tick), frame.bottom, x(tick), frame.bottom + 4)),
      ...steps.ticks.map((tick) => text(x(tick), frame.bottom + 18, 'soft', 'middle', tickLabel(tick))),
      line('axis', frame.left, frame.bottom, frame.right, frame.bottom),
      text((frame.left + frame.right) / 2, frame.bottom + 40, 'soft', 'middle', 'steps of pretraining'),
      ...sorted.flatMap(({ points }, index) => drawSeries(points, index, x, y)),
    ],
  );
}

function drawSeries(
  points: readonly ScorePoint[],
  index: number,
  x: (step: number) => number,
  y: (score: number) => number,
): readonly string[] {
  const medians: readonly Point[] = points.map(({ step, median }) => ({ x: x(step), y: y(median) }));
  return [
    curve(`curve ${colourOf(index)}`, medians),
    ...points
      .filter(({ least, greatest }) => least < greatest)
      .map(({ step, least, greatest }) =>
        line(`spread ${colourOf(index)}`, x(step), y(least), x(step), y(greatest)),
      ),
    ...medians.map((point) => circle(`dot ${colourOf(index)}`, point)),
  ];
}

function legendEntry(label: string, index: number, left: number): readonly string[] {
  const y = MARGIN.top + LEGEND_LINE * index;
  return [
    line(`curve ${colourOf(index)}`, left, y, left + 20, y),
    text(left + 26, y + 4, 'soft', 'start', label),
  ];
}

function colourOf(index: number): string {
  return `series-${index % NUM_SERIES_COLOURS}`;
}

function describe(series: readonly ScoreSeries[], scoreName: string): string {
  const parts = series.map(({ label, points }) => {
    if (points.length === 0) return `${label}: nothing.`;
    const said = points.map(({ step, median }) => `${median.toFixed(1)} at ${tickLabel(step)}`);
    return `${label}: ${said.join(', ')}.`;
  });
  return `${scoreName} by steps of pretraining. ${parts.join(' ')}`;
}
