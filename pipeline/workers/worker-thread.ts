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

/**
 * Starts a worker thread from a TypeScript module. A new thread does not inherit the loader that made the calling
 * one understand TypeScript, and `--import tsx` registers it in main threads only; so the thread begins with two
 * lines of JavaScript that register the loader and import the module.
 *
 * @param url as `new URL('./x-worker.ts', import.meta.url)`
 */
export function startWorker(url: URL, options: StartWorkerOptions = {}): WorkerThread {
  const bootstrap = [
    `import { register } from ${JSON.stringify(import.meta.resolve('tsx/esm/api'))};`,
    'register();',
    `await import(${JSON.stringify(url.href)});`,
  ].join('\n');
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(bootstrap)}`), {
    workerData: options.workerData,
    execArgv: [],
    ...(options.transferList === undefined ? {} : { transferList: [...options.transferList] }),
    ...(options.name === undefined ? {} : { name: options.name }),
  });
}
