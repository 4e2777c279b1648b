import type { MetricsLine } from '../train/metrics.ts';
import { type Point, smooth, thinOut } from './series.ts';
import { circle, curve, document, type Frame, line, scale, text } from './svg.ts';
import { type Axis, niceAxis, tickLabel } from './ticks.ts';

export interface LossPlotOptions {
  readonly title: string;
  /** V: guessing at random costs ln V in MLM. */
  readonly vocabSize: number;
  /** K: guessing at random costs ln(1 + K) in TC. Undefined in a run without TC. */
  readonly numNegatives: number | undefined;
}

interface Panel {
  readonly title: string;
  readonly className: string;
  readonly training: readonly Point[];
  readonly validation: readonly Point[];
  readonly chance: number;
  readonly chanceLabel: string;
}

const PANEL_WIDTH = 480;
const HEIGHT = 380;
const MARGIN = { left: 58, right: 22, top: 78, bottom: 56 } as const;
const MAX_POINTS = 400;

/**
 * Draws the losses of a run: one panel for MLM, one for TC where there is one. The dashed lines are the losses of
 * guessing; dots are evaluations on the validation split.
 * @returns an SVG document
 */
export function lossPlot(lines: readonly MetricsLine[], options: LossPlotOptions): string {
  const panels = panelsOf(lines, options);
  const width = PANEL_WIDTH * panels.length;
  const lastStep = lines.reduce((last, { step }) => Math.max(last, step), 1);
  const steps = niceAxis(0, lastStep, 5, true);
  const drawings = panels.map((panel, index) => drawPanel(panel, steps, index * PANEL_WIDTH));
  return document({ width, height: HEIGHT, title: options.title, description: describe(panels) }, [
    text(MARGIN.left, 28, 'ink title', 'start', options.title),
    ...drawings,
  ]);
}

function panelsOf(lines: readonly MetricsLine[], options: LossPlotOptions): readonly Panel[] {
  const points = (type: MetricsLine['type'], key: 'mlmLoss' | 'tcLoss'): readonly Point[] =>
    lines.flatMap((line) => {
      const y = line[key];
      return line.type === type && y !== undefined && y !== null ? [{ x: line.step, y }] : [];
    });
  const mlm: Panel = {
    title: 'MLM loss (nats)',
    className: 'mlm',
    training: points('update', 'mlmLoss'),
    validation: points('validation', 'mlmLoss'),
    chance: Math.log(options.vocabSize),
    chanceLabel: 'chance, ln V',
  };
  if (options.numNegatives === undefined) return [mlm];
  const tc: Panel = {
    title: 'TC loss (nats)',
    className: 'tc',
    training: points('update', 'tcLoss'),
    validation: points('validation', 'tcLoss'),
    chance: Math.log(1 + options.numNegatives),
    chanceLabel: 'chance, ln(1 + K)',
  };
  return [mlm, tc];
}

function drawPanel(panel: Panel, steps: Axis, offset: number): string {
  const frame: Frame = {
    left: offset + MARGIN.left,
    right: offset + PANEL_WIDTH - MARGIN.right,
    top: MARGIN.top,
    bottom: HEIGHT - MARGIN.bottom,
  };
  const losses = [...panel.training, ...panel.validation].map(({ y }) => y);
  const axis = niceAxis(
    losses.reduce((least, y) => Math.min(least, y), panel.chance),
    losses.reduce((greatest, y) => Math.max(greatest, y), panel.chance),
    6,
  );
  const x = (step: number): number => scale(step, steps, frame.left, frame.right);
  const y = (loss: number): number => scale(loss, axis, frame.bottom, frame.top);
  const place = (points: readonly Point[]): readonly Point[] =>
    points.map((point) => ({ x: x(point.x), y: y(point.y) }));

  const raw = thinOut(panel.training, MAX_POINTS);
  const smoothed = smooth(raw, Math.ceil(raw.length / 40));
  const chanceY = y(panel.chance);
  return [
    '<g>',
    text(frame.left, frame.top - 22, 'ink heading', 'start', panel.title),
    ...axis.ticks.map((tick) => line('grid', frame.left, y(tick), frame.right, y(tick))),
    ...axis.ticks.map((tick) => text(frame.left - 8, y(tick) + 4, 'soft', 'end', tickLabel(tick))),
    ...steps.ticks.map((tick) => line('axis', x(tick), frame.bottom, x(tick), frame.bottom + 4)),
    ...steps.ticks.map((tick) => text(x(tick), frame.bottom + 18, 'soft', 'middle', tickLabel(tick))),
    line('axis', frame.left, frame.bottom, frame.right, frame.bottom),
    text((frame.left + frame.right) / 2, frame.bottom + 40, 'soft', 'middle', 'updates'),
    line('chance', frame.left, chanceY, frame.right, chanceY),
    text(frame.right, chanceY - 6, 'soft', 'end', `${panel.chanceLabel} = ${panel.chance.toFixed(2)}`),
    curve(`curve raw ${panel.className}`, place(raw)),
    curve(`curve ${panel.className}`, place(smoothed)),
    ...place(panel.validation).map((point) => circle('point', point)),
    legend(panel, frame),
    '</g>',
  ].join('\n');
}

function legend(panel: Panel, frame: Frame): string {
  const y = frame.top - 26;
  const entries = [
    line(`curve ${panel.className}`, frame.right - 158, y, frame.right - 138, y),
    text(frame.right - 132, y + 4, 'soft', 'start', 'training'),
  ];
  if (panel.validation.length > 0) {
    entries.push(
      circle('point', { x: frame.right - 70, y }),
      text(frame.right, y + 4, 'soft', 'end', 'validation'),
    );
  }
  return entries.join('\n');
}

function describe(panels: readonly Panel[]): string {
  return panels
    .map(({ title, training, validation, chance }) => {
      const of = (points: readonly Point[]): string =>
        points.length === 0 ? 'none' : `${points[0]!.y.toFixed(2)} to ${points.at(-1)!.y.toFixed(2)}`;
      return `${title}: training ${of(training)}, validation ${of(validation)}, chance ${chance.toFixed(2)}.`;
    })
    .join(' ');
}
