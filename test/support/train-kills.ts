import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { Random } from '../../pipeline/random.ts';
import { verifyCheckpoint } from '../../src/train/checkpoint.ts';
import { runFiles } from '../../src/train/run-folder.ts';
import { argumentsOf, runCli, startCli, type StartedCommand } from './commands.ts';
import { smallRun, writeTrainingFiles } from './training.ts';
import { type RunResult, readRun } from './training-runs.ts';

export interface KillTrainOptions {
  /** Folder of the data and of the runs. */
  readonly home: string;
  readonly backend: 'wasm' | 'tensorflow';
  readonly precision: 'f32' | 'bf16' | 'fp16';
  /** How often the run is killed. */
  readonly kills: number;
  /** Decides the moments. */
  readonly seed: number;
  readonly maxSteps: number;
  /** Called after each kill with what it met. */
  readonly report?: (text: string) => void;
}

export interface KillTrainResult {
  readonly kills: number;
  readonly starts: number;
  /** Kills before the first update of a start, and such that left a checkpoint under its temporary name. */
  readonly killsAtStart: number;
  readonly killsInCheckpoint: number;
  /** What was wrong: runs that failed, a `latest` that is not whole, results that differ. */
  readonly faults: readonly string[];
}

/** Updates between checkpoints: no divisor of the interval of evaluations, so that both fall together now and then. */
const SAVE_STEPS = 7;
const POLL_MS = 5;

/**
 * Trains a tiny TACO model once in one go and once killed with SIGKILL again and again, in turn at a random moment after
 * its start, after a random number of updates, and as soon as a checkpoint is being written; compares the results.
 */
export async function killTraining(options: KillTrainOptions): Promise<KillTrainResult> {
  const { home, kills, maxSteps, report = () => undefined } = options;
  const files = await writeTrainingFiles(home, { train: [200] });
  const flags = (out: string) => ({
    ...smallRun(files, join(home, out)),
    'max-steps': maxSteps,
    'warmup-steps': 20,
    'save-steps': SAVE_STEPS,
    'eval-steps': 25,
    backend: options.backend,
    precision: options.precision,
  });
  const straight = flags('straight');
  const begun = performance.now();
  const { status, stderr } = await runCli('train', argumentsOf(straight));
  if (status !== 0) throw new Error(`the uninterrupted run failed: ${stderr}`);
  const durationMs = performance.now() - begun;
  report(`an uninterrupted run of ${maxSteps} updates takes ${Math.round(durationMs)} ms`);

  const killed = flags('killed');
  const random = new Random(options.seed);
  const counts = { kills: 0, starts: 0, killsAtStart: 0, killsInCheckpoint: 0 };
  const faults: string[] = [];
  // What a start makes on average, so that the run is not over before the last kill.
  const stride = Math.max(1, Math.floor(maxSteps / kills));
  const moments = [
    () => delay(random.float() * durationMs * 0.3),
    (command: StartedCommand) => updates(killed.out, command, Math.floor(random.float() * stride)),
    (command: StartedCommand) => checkpointBegun(killed.out, command, random.float() * 4 * POLL_MS),
  ];
  while (counts.kills < kills) {
    const command = startCli('train', argumentsOf(killed));
    counts.starts += 1;
    const before = { lines: new Set(metricsLines(killed.out)), begun: begunIn(killed.out) };
    await Promise.race([moments[counts.starts % moments.length]!(command), command.ended]);
    command.child.kill('SIGKILL');
    const { signal, stderr: said } = await command.ended;
    if (signal !== 'SIGKILL') {
      faults.push(`start ${counts.starts} ended by itself before kill ${counts.kills + 1}: ${said.trim()}`);
      break;
    }
    counts.kills += 1;
    const inCheckpoint = [...begunIn(killed.out)].some((id) => !before.begun.has(id));
    const own = ownUpdates(killed.out, before.lines);
    if (own === 0) counts.killsAtStart += 1;
    if (inCheckpoint) counts.killsInCheckpoint += 1;
    const latest = await latestOf(killed.out).catch((error: unknown) => {
      faults.push(`after kill ${counts.kills}: ${String(error)}`);
      return 'a damaged one';
    });
    report(
      `kill ${counts.kills} after ${own} updates, newest checkpoint: ${latest}${inCheckpoint ? ', one begun' : ''}`,
    );
  }
  counts.starts += 1;
  const last = await runCli('train', argumentsOf(killed));
  if (last.status !== 0)
    faults.push(`the last start ended with ${String(last.status)}: ${last.stderr.trim()}`);
  else faults.push(...differences(await readRun(killed.out), await readRun(straight.out)));
  return { ...counts, faults };
}

/** Waits until a command has made more than so many updates of its own. */
async function updates(folder: string, { child }: StartedCommand, count: number): Promise<void> {
  const before = new Set(metricsLines(folder));
  while (child.exitCode === null && ownUpdates(folder, before) <= count) await delay(POLL_MS);
}

/** Waits until a command has begun to write a checkpoint, and a little more. */
async function checkpointBegun(folder: string, { child }: StartedCommand, waitMs: number): Promise<void> {
  const before = begunIn(folder);
  while (child.exitCode === null && [...begunIn(folder)].every((id) => before.has(id))) await delay(POLL_MS);
  await delay(waitMs);
}

/** Unfinished checkpoints, by what tells one from a later one of its step. */
function begunIn(folder: string): ReadonlySet<string> {
  const names = existsSync(folder)
    ? readdirSync(folder).filter((name) => name.startsWith('.tmp-checkpoint'))
    : [];
  const ids = names.map((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.birthtimeMs);
  return new Set(ids.filter((id) => id !== undefined).map(String));
}

/** Updates that are not among the lines of before. Made again, they differ from these at least in their times. */
function ownUpdates(folder: string, before: ReadonlySet<string>): number {
  return metricsLines(folder).filter((line) => line.includes('"update"') && !before.has(line)).length;
}

function metricsLines(folder: string): readonly string[] {
  const path = join(folder, runFiles.metrics);
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n') : [];
}

/** The checkpoint that `latest` names, which is whole at any time. @throws TacoError when it is not */
async function latestOf(folder: string): Promise<string> {
  const path = join(folder, runFiles.latest);
  if (!existsSync(path)) return 'none';
  const name = (await readFile(path, 'utf8')).trim();
  await verifyCheckpoint(join(folder, name));
  return name;
}

function differences(found: RunResult, expected: RunResult): readonly string[] {
  const faults = (Object.keys(expected) as (keyof RunResult)[])
    .filter((part) => !isDeepStrictEqual(found[part], expected[part]))
    .map((part) => `${part} differs from the uninterrupted run`);
  const numUpdates = expected.metrics.filter(({ type }) => type === 'update').length;
  return numUpdates === expected.progress.step ? faults : [...faults, 'the uninterrupted run lacks updates'];
}
