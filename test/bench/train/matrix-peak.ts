/** The rate of matrix products in a process as bench/train.ts's own contender is one; run alone it prints JSON. */
import { spawnSync } from 'node:child_process';
import { threadsOf } from './contender.ts';
import { measureMatrixPeak, openBackend, type Precision } from '../../../src/engine/index.ts';

/** Floating-point operations a second, of the precisions that the backend has. */
export type MatrixPeaks = Readonly<Partial<Record<Precision, number>>>;

/** @param cpuTime one thread, by its processor time */
export function matrixPeaks(cpuTime: boolean): MatrixPeaks {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', 'tsx', import.meta.filename, cpuTime ? 'cpu-time' : 'clock'],
    { encoding: 'utf8', env: { ...process.env, ...(cpuTime ? threadsOf(1) : {}) } },
  );
  if (status !== 0) throw new Error(`matrix-peak.ts failed: ${stderr}`);
  return JSON.parse(stdout) as MatrixPeaks;
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

if (process.argv[1] === import.meta.filename) {
  const now = process.argv[2] === 'cpu-time' ? cpuMs : undefined;
  const { name } = await openBackend('auto');
  const precisions = name === 'tensorflow' ? (['f32', 'bf16'] as const) : (['f32'] as const);
  const peaks = precisions.map((precision) => [precision, measureMatrixPeak(precision, now)]);
  console.log(JSON.stringify(Object.fromEntries(peaks)));
}
