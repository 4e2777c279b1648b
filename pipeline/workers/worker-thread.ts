import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { type Transferable, Worker } from 'node:worker_threads';

/** The part of `Worker` that its owners use. */
export type WorkerThread = Worker;

export interface StartWorkerOptions {
  /** Structured-cloned to the worker's `workerData`. */
  readonly workerData?: unknown;
  /** Parts of `workerData` that are moved instead of copied. */
  readonly transferList?: readonly Transferable[];
  /** Name shown by debuggers and profilers. */
  readonly name?: string;
}

const require = createRequire(import.meta.url);

/**
 * Starts a worker thread from a TypeScript module. A new thread does not inherit the loader that made the calling
 * one understand TypeScript, so it begins with a line of JavaScript that registers one and loads the module. As
 * CommonJS: a loader for modules would start one more thread, and both together take half as long again.
 *
 * @param url as `new URL('./x-worker.ts', import.meta.url)`; a module that awaits nothing at its top level
 */
export function startWorker(url: URL, options: StartWorkerOptions = {}): WorkerThread {
  const loader = JSON.stringify(require.resolve('tsx/cjs/api'));
  const body = JSON.stringify(fileURLToPath(url));
  return new Worker(`require(${loader}).register(); require(${body});`, {
    eval: true,
    workerData: options.workerData,
    execArgv: [],
    ...(options.transferList === undefined ? {} : { transferList: [...options.transferList] }),
    ...(options.name === undefined ? {} : { name: options.name }),
  });
}
