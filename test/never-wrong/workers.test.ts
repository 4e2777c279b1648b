import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Transferable, Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createPrepareConfig, type PrepareConfig, type PrepareInput } from '../../pipeline/config.ts';
import { readManifest } from '../../pipeline/shards/manifest.ts';
import type { Job } from '../../pipeline/workers/jobs.ts';
import * as workerThread from '../../pipeline/workers/worker-thread.ts';
import { hashesBelow } from '../support/folders.ts';
import {
  failureOf,
  mixedConfig,
  offline,
  prepareToEnd,
  prepareUntil,
  rowsIn,
  writeInputs,
} from '../support/preparations.ts';
import { writeJsonLines } from '../support/texts.ts';

vi.mock('../../pipeline/workers/worker-thread.ts', { spy: true });

const FAULTY_WORKER = new URL('../support/faulty-tokenizer-worker.ts', import.meta.url);

/** What a job begins with. */
function textOf(job: Job): Uint8Array {
  return job.kind === 'tokenize' && job.documents.kind === 'text' ? job.documents.text : new Uint8Array(0);
}

let home = '';
let numFolders = 0;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'taco-workers-'));
  // Megabytes: every one of many workers gets its share.
  await writeInputs(home, 6000);
});
afterAll(() => rm(home, { recursive: true, force: true }));

function configWith(input: PrepareInput = {}): PrepareConfig {
  numFolders += 1;
  return mixedConfig(home, { rowsPerShard: 2048, out: join(home, `out-${numFolders}`), ...input });
}

describe('threads', () => {
  it('start while sources are looked at, and end with a preparation that fails there', async () => {
    vi.mocked(workerThread.startWorker).mockClear();
    let numStarted = 0;
    const look: typeof fetch = () => {
      numStarted = vi.mocked(workerThread.startWorker).mock.calls.length;
      return Promise.resolve(new Response('{}', { status: 404 }));
    };
    const config = configWith({ sources: ['hub:org/none'], workers: 3 });
    await failureOf(prepareToEnd(config, { ...offline, sources: { fetch: look } }));
    expect(numStarted).toBe(3);
    const workers = vi.mocked(workerThread.startWorker).mock.results.map(({ value }) => value as Worker);
    await vi.waitFor(() => {
      expect(workers.map(({ threadId }) => threadId)).toEqual([-1, -1, -1]);
    });
  });

  it('do not start for a folder that is complete', async () => {
    const config = configWith({ workers: 2 });
    await prepareToEnd(config);
    vi.mocked(workerThread.startWorker).mockClear();
    await prepareToEnd(config);
    expect(workerThread.startWorker).not.toHaveBeenCalled();
  });
});

describe.each(['concat', 'documents'] as const)('shards of mixed sources with %s packing', (packing) => {
  it('are the same bytes with 0, 1, 2, 3 and 8 workers', async () => {
    const results: object[] = [];
    for (const workers of [0, 1, 2, 3, 8]) {
      vi.mocked(workerThread.startWorker).mockClear();
      const config = configWith({ packing, workers });
      await prepareToEnd(config);
      // Several really work at once; how many is the pool's affair.
      const numStarted = vi.mocked(workerThread.startWorker).mock.calls.length;
      expect(numStarted).toBeGreaterThanOrEqual(Math.min(workers, 2));
      expect(numStarted).toBeLessThanOrEqual(workers);
      results.push(await hashesBelow(config.out));
    }
    const [first, ...others] = results;
    expect(Object.keys(first!).length).toBeGreaterThan(8);
    for (const other of others) expect(other).toEqual(first);
  });

  it('are the same bytes when one run has 1, then 2, 3, 8 and 2 workers', async () => {
    const whole = configWith({ packing });
    await prepareToEnd(whole);
    const config = configWith({ packing });
    for (const workers of [1, 2, 3, 8]) {
      const events = await prepareUntil(createPrepareConfig({ ...config, workers }), 'committed', 1);
      expect(events.at(-1)?.type).toBe('stopped');
    }
    await prepareToEnd(createPrepareConfig({ ...config, workers: 2 }));
    expect(await hashesBelow(config.out)).toEqual(await hashesBelow(whole.out));
  });
});

it('rows are those that earlier versions made from the same texts', async () => {
  const config = configWith({ sources: [`file:${join(home, 'texts.jsonl')}`], workers: 2 });
  await prepareToEnd(config);
  const digestOf = async (split: 'train' | 'validation'): Promise<string> => {
    const rows = await rowsIn(config.out, split);
    const digest = createHash('sha256').update(rows.flat().join()).digest('hex').slice(0, 16);
    return `${rows.length} rows, ${digest}`;
  };
  expect([await digestOf('train'), await digestOf('validation')]).toMatchInlineSnapshot(`
    [
      "15838 rows, 8836c34b0272859d",
      "1814 rows, 6bc798eaabd9966c",
    ]
  `);
});

describe('a tokenizer worker in the middle of preparation', () => {
  it.each(['spin', 'sleep'])(
    'that hangs (%s) ends it after its patience in one line, and the next run goes on',
    async (order) => {
      // The worker obeys the first document of a chunk, and every source begins one.
      await writeJsonLines(join(home, `${order}.jsonl`), [order, 'and what comes behind it']);
      // Some shards are there before the thread comes to it.
      const sources = ['texts.jsonl', 'texts.parquet', `${order}.jsonl`].map(
        (name) => `file:${join(home, name)}`,
      );
      const config = configWith({ sources, workers: 1 });
      const actual = await vi.importActual<typeof workerThread>('../../pipeline/workers/worker-thread.ts');
      let hasOrder = false;
      vi.mocked(workerThread.startWorker).mockImplementationOnce((_url, options) => {
        const worker = actual.startWorker(FAULTY_WORKER, options);
        vi.spyOn(worker, 'postMessage').mockImplementation((message: Job, moved) => {
          hasOrder ||= Buffer.from(textOf(message)).subarray(0, order.length).equals(Buffer.from(order));
          Worker.prototype.postMessage.call(worker, message, moved as Transferable[]);
        });
        return worker;
      });
      vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
      try {
        const running = failureOf(prepareToEnd(config));
        await vi.waitFor(() => {
          expect(hasOrder).toBe(true);
        }, 20_000);
        // What the worker had before it gets done; then each turn is a tenth of the patience.
        const over = running.then(() => 'over');
        let turns = 0;
        for (; turns < 40 && (await Promise.race([over, delay(150)])) !== 'over'; turns += 1) {
          vi.advanceTimersByTime(2000);
        }
        const error = await running;
        expect(turns).toBeGreaterThan(9);
        expect(error).toEqual({
          code: 'worker',
          message: 'a tokenizer worker has not answered for 20 s, expected an answer; run the command again',
        });
      } finally {
        vi.useRealTimers();
      }
      const { shards } = (await readManifest(config.out))!;
      expect(shards.length).toBeGreaterThan(0);
      const names = await readdir(config.out, { recursive: true });
      expect(names.filter((name) => /tmp|lock/.test(name))).toEqual([]);
      await prepareToEnd(config);
      const whole = configWith({ sources, workers: 0 });
      await prepareToEnd(whole);
      expect(await hashesBelow(config.out)).toEqual(await hashesBelow(whole.out));
    },
  );

  it('that dies ends it within seconds in one line, and the next run goes on', async () => {
    const config = configWith({ workers: 2 });
    await prepareUntil(config, 'committed', 1);
    const actual = await vi.importActual<typeof workerThread>('../../pipeline/workers/worker-thread.ts');
    vi.mocked(workerThread.startWorker).mockImplementationOnce((...args) => {
      const worker = actual.startWorker(...args);
      worker.once('message', () => void worker.terminate());
      return worker;
    });
    const begun = performance.now();
    const error = await failureOf(prepareToEnd(config));
    expect(performance.now() - begun).toBeLessThan(10_000);
    expect(error.code).toBe('worker');
    expect(error.message).toMatch(/^a tokenizer worker .+$/);
    const names = await readdir(config.out, { recursive: true });
    expect(names.filter((name) => /tmp|lock/.test(name))).toEqual([]);
    await prepareToEnd(config);
    const whole = configWith();
    await prepareToEnd(whole);
    expect(await hashesBelow(config.out)).toEqual(await hashesBelow(whole.out));
  });
});
