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

/** tfjs, Node and the tracer itself: never the line that is to be changed. */
const machinery = /node_modules|node:|src[/\\]engine[/\\]graph[/\\]/;

/** The innermost line of the step in a stack trace, as `file:line:column`. */
export function callSite(stack: string | undefined): string {
  const frames = (stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  const frame = frames.find((line) => !machinery.test(line));
  const place = frame === undefined ? undefined : /\(?((?:file:\/\/)?[^()\s]+:\d+:\d+)\)?$/.exec(frame)?.[1];
  return place ?? 'line unknown';
}
