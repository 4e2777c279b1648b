import type { MetricsLine } from '../train/metrics.ts';
import { type Point, smooth, thinOut } from './series.ts';
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

interface Frame {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

const PANEL_WIDTH = 480;
const HEIGHT = 380;
const MARGIN = { left: 58, right: 22, top: 78, bottom: 56 } as const;
const MAX_POINTS = 400;

/** Colours follow the reader's light or dark scheme; contrasts are those of accessible palettes. */
const STYLE = `
  .paper { fill: #ffffff } .ink { fill: #1f2328 } .soft { fill: #59636e }
  .grid { stroke: #d1d9e0; stroke-width: 1 } .axis { stroke: #59636e; stroke-width: 1 }
  .chance { stroke: #59636e; stroke-width: 1.5; stroke-dasharray: 6 4 }
  .curve { fill: none; stroke-linejoin: round; stroke-linecap: round; stroke-width: 2.25 }
  .raw { stroke-width: 1; opacity: 0.35 }
  .mlm { stroke: #0969da } .tc { stroke: #bc4c00 }
  .point { fill: #1a7f37; stroke: #ffffff; stroke-width: 1.5 }
  text { font: 12px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif }
  .title { font-size: 16px; font-weight: 600 } .heading { font-size: 13px; font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } .ink { fill: #f0f6fc } .soft { fill: #9198a1 }
    .grid { stroke: #2a313c } .axis, .chance { stroke: #9198a1 }
    .mlm { stroke: #58a6ff } .tc { stroke: #f0883e } .point { fill: #3fb950; stroke: #0d1117 }
  }`;

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
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${HEIGHT}" width="${width}" height="${HEIGHT}" role="img" aria-labelledby="title desc">`,
    `<title id="title">${escapeXml(options.title)}</title>`,
    `<desc id="desc">${escapeXml(describe(panels))}</desc>`,
    `<style>${STYLE}\n</style>`,
    `<rect class="paper" width="${width}" height="${HEIGHT}"/>`,
    text(MARGIN.left, 28, 'ink title', 'start', options.title),
    ...drawings,
    '</svg>\n',
  ].join('\n');
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
    ...place(panel.validation).map(
      (point) => `<circle class="point" cx="${fixed(point.x)}" cy="${fixed(point.y)}" r="4.5"/>`,
    ),
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
      `<circle class="point" cx="${fixed(frame.right - 70)}" cy="${fixed(y)}" r="4.5"/>`,
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

function scale(value: number, axis: Axis, from: number, to: number): number {
  return from + ((value - axis.from) / (axis.to - axis.from)) * (to - from);
}

function curve(className: string, points: readonly Point[]): string {
  if (points.length === 0) return '';
  const path = points.map(({ x, y }, index) => `${index === 0 ? 'M' : 'L'}${fixed(x)} ${fixed(y)}`).join('');
  return `<path class="${className}" d="${path}"/>`;
}

function line(className: string, x1: number, y1: number, x2: number, y2: number): string {
  return `<line class="${className}" x1="${fixed(x1)}" y1="${fixed(y1)}" x2="${fixed(x2)}" y2="${fixed(y2)}"/>`;
}

function text(x: number, y: number, className: string, anchor: string, content: string): string {
  return `<text class="${className}" x="${fixed(x)}" y="${fixed(y)}" text-anchor="${anchor}">${escapeXml(content)}</text>`;
}

function fixed(value: number): string {
  return String(Math.round(value * 100) / 100);
}

function escapeXml(content: string): string {
  return content
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
