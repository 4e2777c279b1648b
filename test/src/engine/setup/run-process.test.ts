import { describe, expect, it } from 'vitest';
import { complaintOf, runProcess } from '../../../../src/engine/setup/run-process.ts';

const node = (script: string, signal?: AbortSignal) =>
  runProcess(process.execPath, ['-e', script], signal === undefined ? {} : { signal });

describe('runProcess', () => {
  it('keeps what a program prints, on both streams', async () => {
    const result = await node('console.log("out"); console.error("err")');
    expect(result).toEqual({ ok: true, failure: '', stdout: 'out\n', stderr: 'err\n' });
  });

  it('says how a program failed', async () => {
    expect(await node('process.exit(3)')).toMatchObject({ ok: false, failure: 'exit 3' });
    expect((await runProcess('no-such-program-here', [])).failure).toBe('not found');
    if (process.platform !== 'win32') {
      expect((await node('process.kill(process.pid, "SIGKILL")')).failure).toBe('killed by SIGKILL');
    }
  });

  it('ends the program when it is aborted', async () => {
    const started = Date.now();
    await expect(node('setTimeout(() => {}, 60_000)', AbortSignal.timeout(200))).rejects.toThrow(/abort/i);
    expect(Date.now() - started).toBeLessThan(30_000);
  });
});

describe('complaintOf', () => {
  const complaint = (stdout: string, stderr: string): string =>
    complaintOf({ ok: false, failure: 'exit 1', stdout, stderr });

  it.each([
    [
      "throw er; // Unhandled 'error' event\n\nError: getaddrinfo ENOTFOUND host\nnpm error code 1",
      'Error: getaddrinfo ENOTFOUND host (exit 1)',
    ],
    [
      'note\nx.cc:3:1: fatal error: y.h: No such file\n  | #include',
      'x.cc:3:1: fatal error: y.h: No such file (exit 1)',
    ],
    ['npm warn x\nnpm error code E404\nnpm error 404', 'npm error code E404 (exit 1)'],
    ['first\nlast\n', 'last (exit 1)'],
    ['', 'exit 1'],
  ])('of %j is the line that says most', (stderr, expected) => {
    expect(complaint('', stderr)).toBe(expected);
  });
});
