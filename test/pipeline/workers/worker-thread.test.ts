import { once } from 'node:events';
import { expect, test } from 'vitest';
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

test('an error of the module reaches the owner', async () => {
  const worker = startWorker(echo, { workerData: 'throw' });
  await expect(once(worker, 'message')).rejects.toThrow('asked to throw');
});
