import { parentPort, workerData } from 'node:worker_threads';

/** Sends its data back; a TypeScript construct keeps it from running without a loader. */
const data: unknown = workerData;
if (data === 'throw') throw new Error('asked to throw');
parentPort?.postMessage(data);
