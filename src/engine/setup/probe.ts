import { fileURLToPath } from 'node:url';
import type { NativeCandidate } from '../native.ts';
import { type RunOptions, type RunResult, runProcess } from './run-process.ts';

/** What a backend that works says of itself. */
export interface ProbeReport {
  readonly version: string;
  readonly device: 'CPU' | 'GPU';
}

export type ProbeResult =
  | ({ readonly works: true } & ProbeReport)
  | { readonly works: false; readonly reason: string };

/** Before the report on standard output, where native libraries write too. */
export const reportMark = 'probe-report:';

/**
 * Starts a backend in a child process and multiplies two matrices on it. A native library that crashes or was
 * built for another processor takes the child with it, not this process.
 * @param candidate the native TensorFlow to try, or the WebAssembly backend
 */
export async function probeBackend(
  candidate: NativeCandidate | 'wasm',
  options: RunOptions = {},
): Promise<ProbeResult> {
  const worker = fileURLToPath(new URL('./probe-worker.ts', import.meta.url));
  const what = candidate === 'wasm' ? ['wasm'] : ['tensorflow', JSON.stringify(candidate)];
  const result = await runProcess(
    process.execPath,
    ['--import', import.meta.resolve('tsx'), worker, ...what],
    // A log level that is set keeps standard error open while the library is loaded: it may say why it crashes.
    { ...options, env: { TF_CPP_MIN_LOG_LEVEL: '2', ...(options.env ?? process.env) } },
  );
  const report = result.stdout.split('\n').find((line) => line.startsWith(reportMark));
  if (result.ok && report !== undefined) {
    return { works: true, ...(JSON.parse(report.slice(reportMark.length)) as ProbeReport) };
  }
  return { works: false, reason: reasonOf(result) };
}

function reasonOf({ stderr, failure }: RunResult): string {
  const thrown = /^(?:\w*Error|TacoError)(?: \[\w+\])?: (.*)$/m.exec(stderr)?.[1];
  if (thrown !== undefined) return thrown;
  const hint = failure.includes('SIGILL') ? ': the library needs instructions that this processor lacks' : '';
  return `the process ended by itself, ${failure || 'without a report'}${hint}`;
}
