import { spawn } from 'node:child_process';
import { systemCodeOf } from '../../../pipeline/index.ts';

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal;
}

/** How a program ended. */
export interface RunResult {
  readonly ok: boolean;
  /** `exit 1`, `killed by SIGSEGV`, `not found` or what the system said; empty when it went well. */
  readonly failure: string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end and keeps what it prints. A program that fails or is absent is a result, no error. */
export function runProcess(
  command: string,
  args: readonly string[],
  { cwd, env = process.env, signal }: RunOptions = {},
): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, signal, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', (error) => {
      if (signal?.aborted === true && child.pid !== undefined) {
        // Not before it is gone: what it writes to is about to be removed.
        if (child.exitCode !== null || child.signalCode !== null) reject(error);
        else child.once('exit', reject.bind(undefined, error));
        return;
      }
      if (signal?.aborted === true) reject(error);
      const failure = systemCodeOf(error) === 'ENOENT' ? 'not found' : error.message;
      resolve({ ok: false, failure, stdout, stderr });
    });
    child.on('close', (code, killedBy) => {
      const failure = killedBy === null ? `exit ${code ?? 'unknown'}` : `killed by ${killedBy}`;
      resolve({ ok: code === 0, failure: code === 0 ? '' : failure, stdout, stderr });
    });
  });
}

/** The line of a program's complaints that says most: the first "error: …", else one with "error", else the last. */
export function complaintOf(result: RunResult): string {
  const lines = `${result.stdout}\n${result.stderr}`
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const line =
    lines.find((text) => /error: \S/i.test(text)) ??
    lines.find((text) => /\berror\b/i.test(text)) ??
    lines.at(-1);
  return line === undefined ? result.failure : `${line.slice(0, 300)} (${result.failure})`;
}
