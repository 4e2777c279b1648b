import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { attempt } from '../../../pipeline/sources/hub-attempt.ts';
import { createHubFetch } from '../../../pipeline/sources/hub-fetch.ts';
import { VirtualClock } from '../../support/sources.ts';

const TIMEOUT_MS = 1000;
const BLOCK_BYTES = 64 * 1024;

afterEach(() => {
  vi.useRealTimers();
});

/** A connection that takes a block of the body every so often, and then answers. */
function slowFetch(pauseMs: number): typeof fetch {
  return async (_url, init) => {
    const signal = init!.signal!;
    const reader = (init!.body as Blob).stream().getReader();
    for (;;) {
      const { done } = await reader.read();
      if (done) return new Response('{}');
      await new Promise<void>((resolve, reject) => {
        signal.addEventListener('abort', () => {
          reject(signal.reason as Error);
        });
        setTimeout(resolve, pauseMs);
      });
    }
  };
}

async function upload(pauseMs: number, onSent: (bytes: number) => void) {
  vi.useFakeTimers();
  const result = attempt('http://hub.test/x', { method: 'PUT', body: new Uint8Array(5 * BLOCK_BYTES) }, [], {
    fetch: slowFetch(pauseMs),
    headersTimeoutMs: TIMEOUT_MS,
    stallTimeoutMs: TIMEOUT_MS,
    inspect: () => undefined,
    onSent,
  });
  await vi.runAllTimersAsync();
  return result;
}

describe('an upload', () => {
  it('may take longer than an answer, as long as it goes on', async () => {
    const sent: number[] = [];
    const result = await upload(TIMEOUT_MS - 1, (bytes) => sent.push(bytes));
    expect(result.kind).toBe('answer');
    expect(sent).toEqual(Array.from({ length: 5 }, () => BLOCK_BYTES));
  });

  it('that stalls is given up, and what was counted is taken back', async () => {
    const sent: number[] = [];
    const result = await upload(TIMEOUT_MS + 1, (bytes) => sent.push(bytes));
    expect(result).toMatchObject({ kind: 'fault', fault: { what: 'no answer for 1 s' } });
    expect(sent.length).toBeGreaterThan(1);
    expect(sent.reduce((sum, bytes) => sum + bytes, 0)).toBe(0);
  });

  it.each([
    ['bytes', (bytes: Uint8Array<ArrayBuffer>) => bytes],
    ['a file', (bytes: Uint8Array<ArrayBuffer>) => new Blob([bytes])],
  ])('of %s is sent whole with its size, again after a fault', async (_, bodyOf) => {
    const arrived: { length: string | undefined; body: Buffer }[] = [];
    const server = createServer((request, response) => {
      const blocks: Buffer[] = [];
      request.on('data', (block: Buffer) => blocks.push(block));
      request.on('end', () => {
        arrived.push({ length: request.headers['content-length'], body: Buffer.concat(blocks) });
        response.writeHead(arrived.length === 1 ? 503 : 200).end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      server.close();
    });
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const clock = new VirtualClock();
    let sent = 0;
    const hubFetch = createHubFetch({
      ...clock.tuning,
      endpoint,
      onSent: (bytes) => {
        sent += bytes;
      },
    });
    const content = Uint8Array.from({ length: 300_001 }, (_unused, i) => i * 7);
    const response = await hubFetch(`${endpoint}/upload`, { method: 'PUT', body: bodyOf(content) });
    expect(response.status).toBe(200);
    expect(arrived.map(({ length }) => length)).toEqual(['300001', '300001']);
    for (const { body } of arrived) expect(body.equals(content)).toBe(true);
    expect(sent).toBe(300_001);
    expect(clock.sleeps).toEqual([500]);
  });
});
