import type { Point } from './series.ts';
import type { Axis } from './ticks.ts';

/** Edges of a panel in the drawing. */
export interface Frame {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Colours follow the reader's light or dark scheme; contrasts are those of accessible palettes. */
const STYLE = `
  .paper { fill: #ffffff } .ink { fill: #1f2328 } .soft { fill: #59636e }
  .grid { stroke: #d1d9e0; stroke-width: 1 } .axis { stroke: #59636e; stroke-width: 1 }
  .chance { stroke: #59636e; stroke-width: 1.5; stroke-dasharray: 6 4 }
  .curve { fill: none; stroke-linejoin: round; stroke-linecap: round; stroke-width: 2.25 }
  .raw { stroke-width: 1; opacity: 0.35 }
  .mlm { stroke: #0969da } .tc { stroke: #bc4c00 }
  .point { fill: #1a7f37; stroke: #ffffff; stroke-width: 1.5 }
  .spread { stroke-width: 1.5; opacity: 0.6 }
  .series-0 { stroke: #0969da } .series-1 { stroke: #bc4c00 }
  .series-2 { stroke: #1a7f37 } .series-3 { stroke: #8250df }
  .dot.series-0 { fill: #0969da } .dot.series-1 { fill: #bc4c00 }
  .dot.series-2 { fill: #1a7f37 } .dot.series-3 { fill: #8250df }
  text { font: 12px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif }
  .title { font-size: 16px; font-weight: 600 } .heading { font-size: 13px; font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } .ink { fill: #f0f6fc } .soft { fill: #9198a1 }
    .grid { stroke: #2a313c } .axis, .chance { stroke: #9198a1 }
    .mlm { stroke: #58a6ff } .tc { stroke: #f0883e } .point { fill: #3fb950; stroke: #0d1117 }
    .series-0 { stroke: #58a6ff } .series-1 { stroke: #f0883e }
    .series-2 { stroke: #3fb950 } .series-3 { stroke: #bc8cff }
    .dot.series-0 { fill: #58a6ff } .dot.series-1 { fill: #f0883e }
    .dot.series-2 { fill: #3fb950 } .dot.series-3 { fill: #bc8cff }
  }`;

/** Classes `series-0` to `series-3` colour curves that have no meaning of their own. */
export const NUM_SERIES_COLOURS = 4;

export interface DocumentOptions {
  readonly width: number;
  readonly height: number;
  readonly title: string;
  /** What the drawing shows, for those who cannot see it. */
  readonly description: string;
}

/** A whole SVG document. */
export function document(options: DocumentOptions, drawings: readonly string[]): string {
  const { width, height, title, description } = options;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title desc">`,
    `<title id="title">${escapeXml(title)}</title>`,
    `<desc id="desc">${escapeXml(description)}</desc>`,
    `<style>${STYLE}\n</style>`,
    `<rect class="paper" width="${width}" height="${height}"/>`,
    ...drawings,
    '</svg>\n',
  ].join('\n');
}

/** A value's place in the drawing. */
export function scale(value: number, axis: Axis, from: number, to: number): number {
  return from + ((value - axis.from) / (axis.to - axis.from)) * (to - from);
}

/** A line through points; nothing without any. */
export function curve(className: string, points: readonly Point[]): string {
  if (points.length === 0) return '';
  const path = points.map(({ x, y }, index) => `${index === 0 ? 'M' : 'L'}${fixed(x)} ${fixed(y)}`).join('');
  return `<path class="${className}" d="${path}"/>`;
}

/** A dot. */
export function circle(className: string, { x, y }: Point): string {
  return `<circle class="${className}" cx="${fixed(x)}" cy="${fixed(y)}" r="4.5"/>`;
}

/** A straight line. */
export function line(className: string, x1: number, y1: number, x2: number, y2: number): string {
  return `<line class="${className}" x1="${fixed(x1)}" y1="${fixed(y1)}" x2="${fixed(x2)}" y2="${fixed(y2)}"/>`;
}

/** @param anchor which end of the text is at the place: `start`, `middle` or `end` */
export function text(x: number, y: number, className: string, anchor: string, content: string): string {
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
