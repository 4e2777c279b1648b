import { STAGES, type StageTimes } from '../../pipeline/index.ts';

/** What of the time was waiting, in the main thread, and no work of a processor. */
const WAITING: ReadonlySet<string> = new Set(['fetch', 'write']);

/**
 * Where the time went, for people: a line a stage.
 * @param textBytes what went through
 * @param elapsedMs by the clock, start and end included
 */
export function describeProfile(times: Readonly<StageTimes>, textBytes: number, elapsedMs: number): string {
  const work = STAGES.filter((stage) => !WAITING.has(stage)).reduce((sum, stage) => sum + times[stage], 0);
  const rows = STAGES.map((stage) => {
    const ms = times[stage];
    const seconds = `${(ms / 1000).toFixed(2)} s`.padStart(10);
    const perMegabyte = `${(ms / Math.max(1e-6, textBytes / 1e6)).toFixed(2)} ms/MB`.padStart(13);
    const share = WAITING.has(stage)
      ? `waited for, ${((100 * ms) / elapsedMs).toFixed(1)} % of the clock`
      : `${((100 * ms) / Math.max(1e-6, work)).toFixed(1)} % of the work`;
    return `  ${stage.padEnd(12)}${seconds} ${perMegabyte}  ${share}`;
  });
  const total = `${(work / 1000).toFixed(2)} s of work in ${(elapsedMs / 1000).toFixed(2)} s: ${(work / elapsedMs).toFixed(2)} processors`;
  return ['where the time went, over all threads', ...rows, `  ${total}`].join('\n');
}
