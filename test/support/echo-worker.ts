import { parentPort, workerData } from 'node:worker_threads';

/** Sends its data back, then what it is sent; a TypeScript construct keeps it from running as it is. */
const data: unknown = workerData;
if (data === 'throw') throw new Error('asked to throw');
parentPort?.postMessage(data);
parentPort?.on('message', (message) => parentPort?.postMessage(message));
