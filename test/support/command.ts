import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface Ended {
  /** Undefined when a signal ended it. */
  readonly status: number | undefined;
  readonly signal: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface StartedCommand {
  readonly process: ChildProcess;
  readonly ended: Promise<Ended>;
}

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts a command of `src/cli` as npm does, in a process of its own. */
export function startCommand(
  name: string,
  args: readonly string[],
  { cwd, env = {} }: CommandOptions = {},
): StartedCommand {
  const script = fileURLToPath(new URL(`../../src/cli/${name}.ts`, import.meta.url));
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), script, ...args], {
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => {
      resolve({ status: status ?? undefined, signal: signal ?? undefined, stdout, stderr });
    });
  });
  return { process: child, ended };
}

/** Runs a command of `src/cli` to its end. */
export function runCommandLine(
  name: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<Ended> {
  return startCommand(name, args, options).ended;
}

/** `{ 'max-steps': 3, resume: true }` → `--max-steps 3 --resume` */
export function argumentsOf(flags: Readonly<Record<string, string | number | boolean>>): readonly string[] {
  return Object.entries(flags).flatMap(([name, value]) =>
    typeof value === 'boolean' ? [value ? `--${name}` : `--no-${name}`] : [`--${name}`, String(value)],
  );
}
