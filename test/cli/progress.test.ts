import { describe, expect, it } from 'vitest';
import { createProgress, formatBytes, formatCount, formatDuration } from '../../src/cli/progress.ts';

function recorder(isTTY: boolean, columns = 100) {
  const written: string[] = [];
  let clock = 0;
  const progress = createProgress({
    stream: { isTTY, columns, write: (text: string) => written.push(text) },
    plainIntervalMs: 1000,
    now: () => clock,
  });
  const update = (at: number, done: number, total?: number): void => {
    clock = at;
    progress.update({ label: 'train', done, total, figures: [`loss ${done}`] });
  };
  return { written, progress, update };
}

describe('progress without a terminal', () => {
  it('writes whole lines, no more often than the interval, and the last state', () => {
    const { written, progress, update } = recorder(false);
    for (let step = 0; step <= 25; step += 1) update(step * 100, step, 100);
    progress.finish();
    expect(written.map((line) => /loss (\d+)/.exec(line)?.[1])).toEqual(['0', '10', '20', '25']);
    for (const line of written) {
      expect(line.endsWith('\n')).toBe(true);
      expect(line).not.toContain('\x1b');
    }
  });

  it('does not repeat a line that is already there', () => {
    const { written, progress, update } = recorder(false);
    update(0, 1, 100);
    progress.finish();
    progress.finish();
    expect(written).toHaveLength(1);
  });
});

describe('progress on a terminal', () => {
  it.each([100, 60, 45, 34])('%i columns show every figure; the bar gives way', (columns) => {
    const { written, update } = recorder(true, columns);
    update(0, 0, 100);
    update(200, 2, 100);
    expect(written.at(-1)).toContain('2.0 %  loss 2  ETA 10 s');
    expect(written.at(-1)?.includes('░')).toBe(columns >= 45);
    expect(written.at(-1)?.replace('\r\x1b[2K', '').length).toBeLessThan(columns);
  });

  it('redraws one line, cut to the width, and ends it once', () => {
    const { written, progress, update } = recorder(true);
    update(0, 0, 100);
    update(50, 1, 100);
    update(200, 2, 100);
    progress.message('checkpoint written');
    progress.finish();
    expect(written.filter((text) => text.includes('\n'))).toHaveLength(2);
    for (const text of written) expect(text.replace('\r\x1b[2K', '').trimEnd().length).toBeLessThan(100);
    expect(written.some((text) => text.includes('checkpoint written'))).toBe(true);
  });
});

describe('ETA', () => {
  it('comes from the rate since the first update, so work done before a resume does not count', () => {
    const { written, update } = recorder(false);
    update(0, 50, 100);
    update(10_000, 60, 100);
    expect(written.at(-1)).toContain('ETA 40 s');
  });

  it('is left out when the end is unknown', () => {
    const { written, update } = recorder(false);
    update(0, 1);
    update(2000, 2);
    expect(written.at(-1)).not.toContain('ETA');
    expect(written.at(-1)).not.toContain('%');
  });
});

it.each([
  [400, '0 s'],
  [59_400, '59 s'],
  [200_000, '3 min 20 s'],
  [7_500_000, '2 h 05 min'],
])('formats %i ms as %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

it.each([
  [999, '999'],
  [1234, '1.23 k'],
  [34_500_000, '34.5 M'],
])('formats %i as %s', (value, text) => {
  expect(formatCount(value)).toBe(text);
});

it('formats bytes in decimal units', () => {
  expect([formatBytes(512), formatBytes(1_500_000)]).toEqual(['512 B', '1.50 MB']);
});
