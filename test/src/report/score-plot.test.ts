import { describe, expect, it } from 'vitest';
import { type ScorePoint, scorePlot } from '../../../src/report/score-plot.ts';

const point = (step: number, median: number, spread = 0): ScorePoint => ({
  step,
  median,
  least: median - spread,
  greatest: median + spread,
});
const options = { title: 'GLUE & more', scoreName: 'Average (percent)' };

const attribute = (tag: string, name: string): number =>
  Number(new RegExp(` ${name}="([^"]*)"`).exec(tag)![1]);

describe('scorePlot', () => {
  const svg = scorePlot(
    [
      { label: 'MLM <1>', points: [point(250_000, 75, 0.5), point(50_000, 70)] },
      { label: 'TACO', points: [point(50_000, 74.9, 1)] },
    ],
    options,
  );

  it('draws a curve, dots and spreads for each series, with labels', () => {
    expect(svg.match(/<circle/g)).toHaveLength(3);
    expect(svg.match(/<line class="spread/g)).toHaveLength(2);
    expect(svg.match(/<path class="curve series-0"/g)).toHaveLength(1);
    expect(svg).toContain('MLM &lt;1&gt;');
    expect(svg).toContain('<title id="title">GLUE &amp; more</title>');
    expect(svg).toContain(
      'Average (percent) by steps of pretraining. MLM &lt;1&gt;: 70.0 at 50k, 75.0 at 250k. TACO: 74.9 at 50k.',
    );
    expect(svg).toContain('>250k</text>');
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('puts more steps further right and higher scores further up, all inside', () => {
    const dots = [...svg.matchAll(/<circle [^>]*>/g)].map(([tag]) => ({
      x: attribute(tag, 'cx'),
      y: attribute(tag, 'cy'),
    }));
    const [early, late, taco] = dots;
    expect(early!.x).toBeLessThan(late!.x);
    expect(early!.y).toBeGreaterThan(late!.y);
    expect(taco!.x).toBe(early!.x);
    const height = Number(/height="(\d+)"/.exec(svg)![1]);
    for (const { x, y } of dots) {
      expect(x).toBeGreaterThan(0);
      expect(x).toBeLessThan(600);
      expect(y).toBeGreaterThan(80);
      expect(y).toBeLessThan(height - 50);
    }
    const spread = /<line class="spread series-1"[^>]*>/.exec(svg)![0];
    expect(attribute(spread, 'y1')).toBeGreaterThan(taco!.y);
    expect(attribute(spread, 'y2')).toBeLessThan(taco!.y);
  });

  it('draws a frame without points', () => {
    for (const series of [[], [{ label: 'empty', points: [] }]]) {
      expect(scorePlot(series, options)).not.toMatch(/NaN|Infinity|undefined|<circle/);
    }
  });
});
