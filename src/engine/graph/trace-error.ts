import { fileURLToPath } from 'node:url';

/**
 * A step that cannot become a graph. A mistake of the program and not of its user: the message names the operation and
 * the line of the step that asked for it.
 */
export class TraceError extends Error {
  override readonly name = 'TraceError';

  constructor(operation: string, problem: string, cause?: Error) {
    const line = callSite(cause === undefined ? new Error().stack : cause.stack);
    super(`${operation}: ${problem} (${line})`, cause === undefined ? undefined : { cause });
  }
}

/** tfjs, Node, the tracer itself and what calls kernels: never the line that is to be changed. */
const machinery = [
  'node_modules',
  'node:',
  fileURLToPath(new URL('./', import.meta.url)),
  fileURLToPath(new URL('../../ops/kernel.ts', import.meta.url)),
];

/** The innermost line of the step in a stack trace, as `file:line:column`. */
function callSite(stack: string | undefined): string {
  const frames = (stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  const frame = frames.find((line) => !machinery.some((part) => line.includes(part)));
  const place = frame === undefined ? undefined : /\(?((?:file:\/\/)?[^()\s]+:\d+:\d+)\)?$/.exec(frame)?.[1];
  return place ?? 'line unknown';
}
