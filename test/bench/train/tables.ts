import { hows } from './contender.ts';
import { megabytes, percent } from './demands.ts';
import { nameOf, type Result, type Results } from './measure.ts';
import type { MatrixPeaks } from './matrix-peak.ts';

/** Lines that tell what was measured of a group; ratios are to its first result. */
export function resultLines(results: readonly Result[], peaks: MatrixPeaks): string[] {
  const first = results[0];
  const header = ['', 'tokens/s', 'ms', 'fastest', 'slowest', 'first is', 'GFLOP/s', 'of peak', 'memory'];
  const rows = results.map((result) => [
    nameOf(result),
    whole(result.tokensPerSecond),
    whole(result.medianMs),
    whole(result.fastestMs),
    whole(result.slowestMs),
    first === undefined ? '' : `${(result.medianMs / first.medianMs).toFixed(2)} ×`,
    whole(result.flopsPerSecond / 1e9),
    utilisation(result, peaks),
    megabytes(result.peakBytes),
  ]);
  const own = results.flatMap((result) => {
    const { overhead, batchMs } = result;
    if (batchMs === undefined) return [];
    const outside = overhead === undefined ? '' : `${percent(overhead)} of a step outside TensorFlow, `;
    return [`  ${nameOf(result)}: ${outside}batch made in ${batchMs.toFixed(1)} ms`];
  });
  const widths = header.map((_, column) => (column === 0 ? 30 : 10));
  const lineOf = (cells: readonly string[]): string =>
    `  ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('')}`;
  return [...[header, ...rows].map(lineOf), ...own];
}

/** The README's table, of BERT-small on 16 × 128; a cell is of the first group that measured it. */
export function markdownTable(measured: readonly Results[]): string {
  const find: Results = (...what) =>
    measured.map((results) => results(...what)).find((result) => result !== undefined);
  const rows = hows.flatMap((how) => {
    const cells = [find(how, 'f32'), find(how, 'bf16'), find(how, 'f32', 'taco'), find(how, 'bf16', 'taco')];
    const found = cells.filter((cell) => cell !== undefined);
    if (found.length === 0) return [];
    const rates = cells.map((cell) => (cell === undefined ? '–' : whole(cell.tokensPerSecond)));
    const peak = Math.max(...found.map(({ peakBytes }) => peakBytes));
    return [`| ${how} | ${rates.join(' | ')} | ${(peak / 1e9).toFixed(1)} GB |`];
  });
  return [
    '| tokens/s | MLM, f32 | MLM, bf16 | TACO, f32 | TACO, bf16 | peak memory |',
    '|---|---|---|---|---|---|',
    ...rows,
  ].join('\n');
}

/** Model FLOPs utilisation. */
function utilisation({ flopsPerSecond, task }: Result, peaks: MatrixPeaks): string {
  const peak = peaks[task.precision];
  return peak === undefined ? '–' : `${Math.round((100 * flopsPerSecond) / peak)} %`;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en');
}
