import { fileURLToPath } from 'node:url';
import { MessageChannel, type Transferable, Worker } from 'node:worker_threads';
import { bundleOf } from './bundle.ts';

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
 * What a thread begins with: it waits for its program and runs it. As a module of CommonJS, because that is the way to have
 * Node read the source map.
 */
const BOOTSTRAP = `
  const Module = require('node:module');
  const threads = require('node:worker_threads');
  const { path, port, workerData } = threads.workerData;
  threads.workerData = workerData;
  process.setSourceMapsEnabled(true);
  port.once('message', (program) => {
    port.close();
    new Module(path)._compile(program, path);
  });
`;

/**
 * Starts a worker thread from a TypeScript module, which reaches it as one text with all that it imports: a thread does
 * not inherit the loader that makes the main thread understand TypeScript, and one of its own costs several times as much.
 * The module and what it imports can use neither `import.meta` nor top-level await. The thread fails with an error when the
 * text cannot be made.
 *
 * @param url as `new URL('./x-worker.ts', import.meta.url)`
 */
export function startWorker(url: URL, options: StartWorkerOptions = {}): WorkerThread {
  const { workerData, transferList = [], name } = options;
  const { port1, port2 } = new MessageChannel();
  const path = fileURLToPath(url);
  const worker = new Worker(BOOTSTRAP, {
    eval: true,
    execArgv: [],
    workerData: { path: `${path}.cjs`, port: port2, workerData },
    transferList: [port2, ...transferList],
    ...(name === undefined ? {} : { name }),
  });
  void bundleOf(path).then((program) => {
    port1.postMessage(program);
  });
  return worker;
}
