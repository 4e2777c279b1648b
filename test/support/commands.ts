import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

export interface CommandResult {
  /** Exit status; null when a signal ended it. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** Besides the test's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Working folder; the repository unless given. */
  readonly cwd?: string;
  /** No file may grow beyond so many blocks of 512 bytes: the system refuses the write, as a full disk does. */
  readonly maxFileBlocks?: number;
  /** Called with everything on stderr so far, whenever there is more. */
  readonly onStderr?: (stderr: string, child: ChildProcess) => void;
}

export interface StartedCommand {
  readonly child: ChildProcess;
  readonly ended: Promise<CommandResult>;
}

/** Runs a command of `src/cli` to its end: see `startCli`. */
export function runCli(
  name: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return startCli(name, args, options).ended;
}

/** Starts a command of `src/cli` as a process of its own, without the package manager in between. */
export function startCli(
  name: string,
  args: readonly string[],
  options: CommandOptions = {},
): StartedCommand {
  const command = [process.execPath, ...nodeArguments(join('src/cli', `${name}.ts`), args)];
  const { maxFileBlocks } = options;
  const limit = maxFileBlocks === undefined ? '' : `ulimit -f ${maxFileBlocks}; `;
  return limit === ''
    ? start(command[0]!, command.slice(1), options)
    : start('sh', ['-c', `${limit}exec "$@"`, 'sh', ...command], options);
}

/** Runs a program of the repository, such as a benchmark, to its end. */
export function runProgram(
  path: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return start(process.execPath, nodeArguments(path, args), options).ended;
}

function nodeArguments(path: string, args: readonly string[]): readonly string[] {
  const imports = ['tsx', './poisoned-memory.ts'].flatMap((name) => ['--import', import.meta.resolve(name)]);
  return [...imports, join(root, path), ...args];
}

/**
 * Starts `npm run <script> -- …` as a terminal does, in a process group of its own: `process.kill(-pid)` reaches all
 * of it.
 */
export function startScript(script: string, args: readonly string[]): StartedCommand {
  return start('npm', ['run', '--silent', script, '--', ...args], {}, true);
}

function start(
  program: string,
  args: readonly string[],
  options: CommandOptions,
  detached = false,
): StartedCommand {
  const child = spawn(program, args, {
    cwd: options.cwd ?? root,
    detached,
    env: { ...process.env, NODE_OPTIONS: '', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    options.onStderr?.(stderr, child);
  });
  const ended = new Promise<CommandResult>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => {
      resolve({ status, signal, stdout, stderr });
    });
  });
  return { child, ended };
}

/** `{ 'max-steps': 3, resume: true }` → `--max-steps 3 --resume` */
export function argumentsOf(flags: Readonly<Record<string, string | number | boolean>>): readonly string[] {
  return Object.entries(flags).flatMap(([name, value]) =>
    typeof value === 'boolean' ? [value ? `--${name}` : `--no-${name}`] : [`--${name}`, String(value)],
  );
}
