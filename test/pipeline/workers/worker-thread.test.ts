import { once } from 'node:events';
import { expect, test, vi } from 'vitest';
import { startWorker } from '../../../pipeline/workers/worker-thread.ts';

const echo = new URL('../../support/echo-worker.ts', import.meta.url);

test('runs a TypeScript module and gives it its data, moved where asked', async () => {
  const moved = new Uint8Array([1, 2, 3]);
  const worker = startWorker(echo, {
    workerData: { moved, text: 'data' },
    transferList: [moved.buffer],
    name: 'echo',
  });
  const [message] = (await once(worker, 'message')) as [unknown];
  expect(message).toEqual({ moved: new Uint8Array([1, 2, 3]), text: 'data' });
  expect(moved).toHaveLength(0);
  await worker.terminate();
});

test('gives a module the messages that were sent before it was there, in order', async () => {
  const worker = startWorker(echo, { workerData: 'echo' });
  const received: unknown[] = [];
  worker.on('message', (message) => received.push(message));
  for (let n = 0; n < 20; n += 1) worker.postMessage(n);
  await vi.waitFor(() => {
    expect(received).toEqual(['echo', ...Array.from({ length: 20 }, (_, n) => n)]);
  });
  await worker.terminate();
});

test('an error of the module reaches the owner, with the line of the TypeScript source', async () => {
  const worker = startWorker(echo, { workerData: 'throw' });
  const error = (await once(worker, 'message').catch((reason: unknown) => reason)) as Error;
  expect(error.message).toBe('asked to throw');
  expect(error.stack).toMatch(/echo-worker\.ts:5\b/);
});

test('a module that is not there reaches the owner as an error', async () => {
  const worker = startWorker(new URL('./none.ts', import.meta.url));
  await expect(once(worker, 'message')).rejects.toThrow(/Could not resolve .*none\.ts/);
});

test('a thread that is ended before it has its program just ends', async () => {
  const worker = startWorker(echo);
  await worker.terminate();
  expect(worker.threadId).toBe(-1);
});
