import { parseArgs } from 'node:util';
import { messageOf, systemCodeOf, TacoError } from '../../pipeline/index.ts';

/** One flag of a command. The table is the single source for parsing, `--help` and suggestions. */
export interface Flag {
  readonly type: 'string' | 'number' | 'boolean';
  /** May be given several times; the value is then a list. */
  readonly multiple?: boolean;
  /** Shown in the help as `--name <placeholder>`. */
  readonly placeholder?: string;
  /** One line. Defaults belong to the config that owns the value; say them here in words. */
  readonly help: string;
}

export interface CommandSpec<Flags extends Readonly<Record<string, Flag>>> {
  /** As it is typed: `npm run train --`. */
  readonly usage: string;
  readonly summary: string;
  readonly flags: Flags;
  readonly examples?: readonly string[];
  /** Names of positional arguments, in order; a last one that ends in … may come any number of times. */
  readonly positionals?: readonly string[];
}

type ScalarOf<F extends Flag> = F['type'] extends 'number'
  ? number
  : F['type'] extends 'boolean'
    ? boolean
    : string;
type ValueOf<F extends Flag> = F extends { readonly multiple: true } ? readonly ScalarOf<F>[] : ScalarOf<F>;

/** Only flags that were given are present. */
export type FlagValues<Flags extends Readonly<Record<string, Flag>>> = {
  readonly [Name in keyof Flags]?: ValueOf<Flags[Name]>;
};

export interface CommandContext<Flags extends Readonly<Record<string, Flag>>> {
  readonly flags: FlagValues<Flags>;
  readonly positionals: readonly string[];
  /** Aborted by the first Ctrl-C or SIGTERM: stop at the next safe place, leave a state to continue from. */
  readonly signal: AbortSignal;
}

/**
 * Signals that follow the first within this time belong to it: on Ctrl-C the terminal tells the whole group, and npm
 * tells the command once more.
 */
const ECHO_MS = 500;

/** Exit statuses of shells for a process ended by a signal. */
const EXIT_STATUS = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Parses the command line against the table.
 * @throws TacoError `bad-config`: one line that names the flag, what was got and what was expected
 */
export function parseFlags<const Flags extends Readonly<Record<string, Flag>>>(
  spec: CommandSpec<Flags>,
  argv: readonly string[],
): { readonly flags: FlagValues<Flags>; readonly positionals: readonly string[]; readonly help: boolean } {
  const options: Record<string, { type: 'string' | 'boolean'; multiple: true }> = {
    help: { type: 'boolean', multiple: true },
  };
  for (const [name, flag] of Object.entries(spec.flags)) {
    options[name] = { type: flag.type === 'boolean' ? 'boolean' : 'string', multiple: true };
  }
  const { tokens } = parseArgs({
    args: [...argv],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });

  const values: Record<string, unknown> = {};
  const positionals: string[] = [];
  let help = false;
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    if (token.name === 'help' || token.rawName === '-h') {
      help = true;
      continue;
    }
    const negated = token.name.startsWith('no-') && !Object.hasOwn(spec.flags, token.name);
    const name = negated ? token.name.slice('no-'.length) : token.name;
    const flag = Object.hasOwn(spec.flags, name) ? spec.flags[name] : undefined;
    if (flag === undefined || (negated && flag.type !== 'boolean')) throw unknownFlag(spec, token.rawName);
    const value = flag.type === 'boolean' ? booleanOf(token, negated) : scalarOf(token, flag);
    if (flag.multiple === true) {
      values[name] = [...((values[name] as readonly unknown[] | undefined) ?? []), value];
    } else if (Object.hasOwn(values, name)) {
      throw usageError(`--${name} is given twice, expected once`);
    } else {
      values[name] = value;
    }
  }
  const names = spec.positionals ?? [];
  const extra = names.at(-1)?.endsWith('…') === true ? undefined : positionals[names.length];
  if (!help && extra !== undefined) {
    throw usageError(
      `unexpected argument "${extra}"; flags begin with -- and follow "--" after the npm command, as in "${spec.usage} --help"`,
    );
  }
  return { flags: values as FlagValues<Flags>, positionals, help };
}

/** What is wrong with a command line, in one line. */
export function usageError(message: string): TacoError {
  return new TacoError(message, { code: 'bad-config', stage: 'flags' });
}

/** @throws TacoError `bad-config` when the value of `--name` is no whole number, or below `least` */
export function wholeFlag(name: string, value: number, least: number): number {
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw usageError(`--${name} is ${value}, expected a whole number of at least ${least}`);
}

/** @throws TacoError `bad-config` when the value of `--name` is none of the choices */
export function choiceFlag<const Choice extends string>(
  name: string,
  value: string,
  choices: readonly Choice[],
): Choice {
  const known = choices.find((choice) => choice === value);
  if (known !== undefined) return known;
  throw usageError(`--${name} is "${value}", expected one of ${choices.join(', ')}`);
}

interface OptionToken {
  readonly rawName: string;
  readonly value?: string | undefined;
}

function booleanOf(token: OptionToken, negated: boolean): boolean {
  if (token.value !== undefined) {
    throw usageError(`${token.rawName} takes no value, got "${token.value}"`);
  }
  return !negated;
}

function scalarOf(token: OptionToken, flag: Flag): string | number {
  if (token.value === undefined || token.value === '') {
    throw usageError(`${token.rawName} needs a value: ${token.rawName} <${placeholderOf(flag)}>`);
  }
  if (flag.type !== 'number') return token.value;
  const number = Number(token.value);
  if (!Number.isFinite(number) || token.value.trim() === '') {
    throw usageError(`${token.rawName} is "${token.value}", expected a number`);
  }
  return number;
}

function placeholderOf(flag: Flag): string {
  return flag.placeholder ?? (flag.type === 'number' ? 'number' : 'text');
}

function unknownFlag(spec: CommandSpec<Readonly<Record<string, Flag>>>, rawName: string): TacoError {
  const wanted = rawName.replace(/^-+/, '');
  const nearest = Object.keys(spec.flags)
    .map((name) => ({ name, distance: editDistance(name, wanted) }))
    .sort((a, b) => a.distance - b.distance)[0];
  const hint =
    nearest !== undefined && nearest.distance <= Math.max(2, wanted.length / 3)
      ? `; did you mean --${nearest.name}?`
      : '';
  return usageError(`unknown flag ${rawName}${hint} (${spec.usage} --help lists all)`);
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const current = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substitution = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(substitution, previous[j]! + 1, current[j - 1]! + 1));
    }
    previous = current;
  }
  return previous[b.length]!;
}

/** The text of `--help`. */
export function helpOf(spec: CommandSpec<Readonly<Record<string, Flag>>>): string {
  const rows = Object.entries(spec.flags).map(([name, flag]) => {
    const value = flag.type === 'boolean' ? '' : ` <${placeholderOf(flag)}>`;
    return [`--${name}${value}`, flag.multiple === true ? `${flag.help} (repeatable)` : flag.help] as const;
  });
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  const lines = [spec.summary, '', `Usage: ${spec.usage} [flags]`, ''];
  for (const [left, right] of rows) lines.push(`  ${left.padEnd(width)}  ${right}`);
  if (spec.examples !== undefined && spec.examples.length > 0) {
    lines.push('', 'Examples:', ...spec.examples.map((example) => `  ${example}`));
  }
  return lines.join('\n');
}

/**
 * Runs a command to its end and sets the exit status: 0 done, 1 failed, 2 wrong flags, 130 or 143 interrupted.
 * A user's mistake prints one line; only a defect of the program prints a stack trace.
 */
export async function runCommand<const Flags extends Readonly<Record<string, Flag>>>(
  spec: CommandSpec<Flags>,
  main: (context: CommandContext<Flags>) => Promise<void>,
): Promise<void> {
  const abort = new AbortController();
  let interruptedBy: keyof typeof EXIT_STATUS | undefined;
  let interruptedAt = 0;
  const onSignal = (name: keyof typeof EXIT_STATUS): void => {
    if (interruptedBy !== undefined) {
      if (performance.now() - interruptedAt < ECHO_MS) return;
      process.exit(EXIT_STATUS[name]);
    }
    interruptedBy = name;
    interruptedAt = performance.now();
    process.stderr.write('\nstopping at the next safe place (once more to stop at once)\n');
    abort.abort();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  // Ctrl-C ends `2>&1 | tee` too, and the disk of a log may be full: no reason to lose the work under way.
  process.stderr.on('error', () => undefined);
  // `| head` closes the pipe early: not worth a stack trace.
  process.stdout.on('error', (error) => {
    if (systemCodeOf(error) === 'EPIPE') process.exit(0);
    throw error;
  });

  try {
    const parsed = parseFlags(spec, process.argv.slice(2));
    if (parsed.help) {
      process.stdout.write(`${helpOf(spec)}\n`);
      return;
    }
    await main({ flags: parsed.flags, positionals: parsed.positionals, signal: abort.signal });
    if (interruptedBy !== undefined) process.exitCode = EXIT_STATUS[interruptedBy];
  } catch (error) {
    if (interruptedBy !== undefined && isAbort(error)) process.exitCode = EXIT_STATUS[interruptedBy];
    else process.exitCode = reportFailure(error);
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
}

/** Whether an error only says that the user's interruption arrived: nothing to report. */
function isAbort(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause.name === 'AbortError') return true;
  }
  return false;
}

/**
 * Says what went wrong: one line for a mistake of the user's, a stack trace for a defect of the program.
 * @returns the exit status
 */
export function reportFailure(error: unknown): number {
  if (error instanceof TacoError) {
    process.stderr.write(`error: ${error.message}\n`);
    return error.code === 'bad-config' ? 2 : 1;
  }
  process.stderr.write(`unexpected error, please report it: ${messageOf(error)}\n`);
  if (error instanceof Error && error.stack !== undefined) process.stderr.write(`${error.stack}\n`);
  return 1;
}
