import { describe, expect, it } from 'vitest';
import { lossPlot } from '../../../src/report/loss-plot.ts';
import { smooth, thinOut } from '../../../src/report/series.ts';
import { niceAxis, tickLabel } from '../../../src/report/ticks.ts';
import type { MetricsLine } from '../../../src/train/metrics.ts';

function update(step: number, mlmLoss: number | null, tcLoss: number | null): MetricsLine {
  return {
    type: 'update',
    step,
    learningRate: 0.1,
    loss: mlmLoss,
    mlmLoss,
    mlmAccuracy: 0.5,
    tcLoss,
    tcAccuracy: 0.5,
    gradNorm: 1,
    skipped: mlmLoss === null,
    numTokens: 1,
    tokensPerSecond: 1,
    waitMs: 0,
  };
}

function validation(step: number, mlmLoss: number, tcLoss: number): MetricsLine {
  const rest = { perplexity: 1, mlmAccuracy: 0, tcAccuracy: 0, numRows: 1, numMasked: 1, durationMs: 1 };
  return { type: 'validation', step, mlmLoss, tcLoss, ...rest };
}

const options = { title: 'A run & more', vocabSize: 30_522, numNegatives: 50 };

/** Every number in the coordinates of the drawing. */
function coordinates(svg: string): readonly number[] {
  const attributes = [...svg.matchAll(/ (?:x|y|x1|x2|y1|y2|cx|cy)="([^"]*)"/g)].map((match) =>
    Number(match[1]),
  );
  const paths = [...svg.matchAll(/ d="([^"]*)"/g)].flatMap((match) =>
    [...match[1]!.matchAll(/-?[\d.]+/g)].map((number) => Number(number[0])),
  );
  return [...attributes, ...paths];
}

describe('lossPlot', () => {
  const lines = [
    validation(0, 10.3, 4),
    ...Array.from({ length: 100 }, (_, index) => update(index + 1, 10 - index / 20, 4 - index / 50)),
    validation(100, 5.5, 2.2),
  ];

  it('draws both losses with chance levels, evaluations and labels', () => {
    const svg = lossPlot(lines, options);
    expect(svg).toContain('chance, ln V = 10.33');
    expect(svg).toContain('chance, ln(1 + K) = 3.93');
    expect(svg.match(/<circle/g)).toHaveLength(2 * (2 + 1));
    expect(svg.match(/>updates</g)).toHaveLength(2);
    expect(svg).toContain('<title id="title">A run &amp; more</title>');
    expect(svg).toContain('prefers-color-scheme: dark');
    expect(svg).toContain('MLM loss (nats): training 10.00 to 5.05, validation 10.30 to 5.50');
  });

  it('is well-formed and stays within its page', () => {
    const svg = lossPlot(lines, options);
    const open = [...svg.matchAll(/<(\/?)(\w+)[^>]*?(\/?)>/g)];
    const depth = open.reduce((sum, [, closing, , single]) => {
      if (single === '/') return sum;
      return sum + (closing === '/' ? -1 : 1);
    }, 0);
    expect(depth).toBe(0);
    const numbers = coordinates(svg);
    expect(numbers.length).toBeGreaterThan(400);
    for (const number of numbers) {
      expect(number).toBeGreaterThanOrEqual(0);
      expect(number).toBeLessThanOrEqual(960);
    }
  });

  it('leaves the second panel out without TC', () => {
    const svg = lossPlot(lines, { ...options, numNegatives: undefined });
    expect(svg).toContain('width="480"');
    expect(svg).not.toContain('TC loss');
  });

  it('leaves gaps for updates that were skipped, and draws a run without any', () => {
    const svg = lossPlot([update(1, null, null), update(2, 9, 3)], options);
    expect(coordinates(svg).every(Number.isFinite)).toBe(true);
    expect(coordinates(lossPlot([], options)).every(Number.isFinite)).toBe(true);
  });

  it('does not grow with the run', () => {
    const long = Array.from({ length: 250_000 }, (_, index) => update(index + 1, 10, 4));
    expect(lossPlot(long, options).length).toBeLessThan(60_000);
  });
});

describe('series', () => {
  const points = Array.from({ length: 10 }, (_, x) => ({ x, y: x * x }));

  it('are thinned out to means over equal runs', () => {
    expect(thinOut(points, 20)).toBe(points);
    expect(thinOut(points, 5)).toEqual([
      { x: 0.5, y: 0.5 },
      { x: 2.5, y: 6.5 },
      { x: 4.5, y: 20.5 },
      { x: 6.5, y: 42.5 },
      { x: 8.5, y: 72.5 },
    ]);
  });

  it('are smoothed without moving a straight line or their ends', () => {
    const line = points.map(({ x }) => ({ x, y: 3 * x }));
    expect(smooth(line, 3)).toEqual(line);
    expect(smooth(points, 2)[5]).toEqual({ x: 5, y: (9 + 16 + 25 + 36 + 49) / 5 });
  });
});

describe('ticks', () => {
  it('are round numbers around the range', () => {
    expect(niceAxis(0, 100, 5)).toEqual({ from: 0, to: 100, ticks: [0, 20, 40, 60, 80, 100] });
    expect(niceAxis(5.2, 10.33, 6).ticks).toEqual([5, 6, 7, 8, 9, 10, 11]);
    expect(niceAxis(0, 3, 5, true).ticks).toEqual([0, 1, 2, 3]);
    expect(niceAxis(2, 2, 5).ticks.length).toBeGreaterThan(1);
  });

  it('are labelled shortly', () => {
    expect([0.5, 100, 1500, 250_000, 1e6].map(tickLabel)).toEqual(['0.5', '100', '1.5k', '250k', '1M']);
  });
});
