import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { messageOf } from '../../../pipeline/index.ts';
import type { QuitAnswer, Ready, StepAnswer, Task } from './protocol.ts';

export const hows = ['ours', 'original', 'tuned PyTorch', 'tf.function', 'tf.function, XLA'] as const;
/** Whose step it is. */
export type How = (typeof hows)[number];

export interface Contender {
  readonly how: How;
  readonly task: Task;
}

const scripts: Readonly<Record<How, string>> = {
  ours: 'ours.ts',
  original: 'original.py',
  'tuned PyTorch': 'tuned_pytorch.py',
  'tf.function': 'tensorflow_function.py',
  'tf.function, XLA': 'tensorflow_function.py',
};

/** Python for a contender of another kind than ours; undefined where there is none with what it needs. */
export type Pythons = Readonly<Record<Exclude<How, 'ours'>, string | undefined>>;

/** What a contender writes on standard error is kept to this length, for the case that it fails. */
const KEPT_CHARACTERS = 2000;

/** The environment in which libraries take so many threads. */
export function threadsOf(count: number): NodeJS.ProcessEnv {
  const names = ['OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS'];
  return Object.fromEntries(names.map((name) => [name, String(count)]));
}

/** A contender in a process of its own, one request at a time. */
export class RunningContender {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string, undefined>;
  readonly #closed: Promise<unknown>;
  #errors = '';

  constructor({ how, task }: Contender, pythons: Pythons) {
    const file = join(import.meta.dirname, scripts[how]);
    const [program, args] =
      how === 'ours' ? [process.execPath, ['--expose-gc', '--import', 'tsx', file]] : [pythons[how]!, [file]];
    this.#child = spawn(program, [...args, JSON.stringify(task)], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: {
        ...process.env,
        ...threadsOf(task.numThreads),
        HF_HUB_OFFLINE: '1',
      },
    });
    this.#answers = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-KEPT_CHARACTERS);
    });
    this.#closed = once(this.#child, 'close').catch((error: unknown) => {
      this.#errors = messageOf(error);
    });
    // A process that is gone shows in the missing answer.
    this.#child.stdin!.on('error', () => {});
  }

  async ready(): Promise<Ready> {
    return this.#answer<Ready>();
  }

  async step(): Promise<StepAnswer> {
    this.#child.stdin!.write('step\n');
    return this.#answer<StepAnswer>();
  }

  async quit(): Promise<QuitAnswer> {
    this.#child.stdin!.write('quit\n');
    const answer = await this.#answer<QuitAnswer>();
    this.kill();
    return answer;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** @throws Error with the end of what the process wrote when it ended instead */
  async #answer<T>(): Promise<T> {
    const { value, done } = await this.#answers.next();
    if (done !== true) return JSON.parse(value) as T;
    await this.#closed;
    const how = this.#child.signalCode ?? `exit code ${String(this.#child.exitCode)}`;
    throw new Error(`ended with ${how}: ${this.#errors.trim()}`);
  }
}
