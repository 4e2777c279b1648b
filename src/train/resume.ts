import { shortFingerprint, TacoError } from '../../pipeline/index.ts';
import type { PlannedRun, RunIdentity, RunRecord } from './checkpoint-state.ts';
import { faultOfLatest, type FoundCheckpoint, findCheckpoint, holdsRun } from './run-folder.ts';
import { flagNameOf, freeSettings, overridableSettings, type SettingValue } from './settings.ts';

/** Where a run begins. */
export interface StartingPoint {
  /** Undefined: at the first step. */
  readonly checkpoint: FoundCheckpoint | undefined;
  /** A run lies in the folder and has to be moved out of the way first. */
  readonly moveAside: boolean;
  /** What the user should know: damaged checkpoints, changed settings. */
  readonly notes: readonly string[];
}

export interface StartOptions {
  /** True: there must be a checkpoint; false: begin anew; undefined: go on where there is one. */
  readonly resume?: boolean | undefined;
  /** Whether settings that change how the run learns may differ from the checkpoint's. */
  readonly override?: boolean | undefined;
}

/**
 * Decides where a run begins. Reads only.
 * @throws TacoError `not-found`, `corrupt`, or `mismatch` with the setting and both values
 */
export async function chooseStart(
  runFolder: string,
  { override = false, resume }: StartOptions,
  current: PlannedRun,
): Promise<StartingPoint> {
  if (resume === false) {
    return { checkpoint: undefined, moveAside: await holdsRun(runFolder), notes: [] };
  }
  const { checkpoint, damaged } = await findCheckpoint(runFolder);
  if (checkpoint === undefined) {
    if (resume === true) {
      throw new TacoError(
        `${runFolder} has no checkpoint to resume from; leave --resume out to begin a new run, or name the run's folder with --out`,
        { code: 'not-found', stage: 'train', path: runFolder },
      );
    }
    const notes = (await holdsRun(runFolder))
      ? [`${runFolder} holds a run that ended before its first checkpoint; it begins anew`]
      : [];
    return { checkpoint, moveAside: false, notes };
  }
  const { progress, run } = checkpoint.state;
  requireSameRun(runFolder, run, current);
  const changes = overridableChanges(run, current);
  if (!override) refuseChanges(runFolder, changes, progress.step);
  const latestFault = await faultOfLatest(runFolder);
  return {
    checkpoint,
    moveAside: false,
    notes: [
      ...damaged.map((line) => `${line}; it is set aside, the checkpoint before is used`),
      ...(latestFault === undefined ? [] : [`${latestFault}; the newest whole one is used`]),
      ...changes.map(({ name, was, is }) => `${name} was ${was}, from step ${progress.step} on it is ${is}`),
      ...notesOnComputing(run, current, progress.step),
    ],
  };
}

/**
 * Holds what a checkpoint was trained with against what is asked for now.
 * @throws TacoError `mismatch` for the first thing that never may change
 */
function requireSameRun(runFolder: string, saved: RunRecord, current: PlannedRun): void {
  const refuse = (what: string, before: Value, now: Value): TacoError =>
    mismatch(
      runFolder,
      `${runFolder} was trained with ${what} ${show(before)}, now it is ${show(now)}; use the same, or another --out, or --no-resume, which moves the old run aside`,
    );
  for (const [key, before] of Object.entries(saved.model)) {
    const now = current.model[key];
    if (before !== now) throw refuse(`a model of ${key}`, before, now);
  }
  for (const key of ['tokenizerSha256', 'maxSeqLen'] as const) {
    const before = saved.data[key];
    const now = current.data[key];
    if (before !== now) throw refuse(`a dataset of ${key}`, before, now);
  }
  const [setBefore, setNow] = [fingerprintsOf(saved), fingerprintsOf(current)];
  if (setBefore.join() !== setNow.join()) {
    throw refuse('the data', namesOf(saved), namesOf(current));
  }
  const changeable = new Set([...overridableSettings, ...freeSettings].map(flagNameOf));
  for (const name of settingsOf(saved, current)) {
    const before = saved.settings[name];
    const now = current.settings[name];
    if (before !== now && !changeable.has(name)) throw refuse(`--${name}`, before, now);
  }
}

interface Change {
  readonly name: string;
  readonly was: string;
  readonly is: string;
}

/** What differs and may, if the user says so. */
function overridableChanges(saved: RunRecord, current: PlannedRun): readonly Change[] {
  const changes = weightChanges(saved, current);
  const overridable = new Set<string>(overridableSettings.map(flagNameOf));
  for (const name of settingsOf(saved, current)) {
    const [before, now] = [saved.settings[name], current.settings[name]];
    if (overridable.has(name) && before !== now) {
      changes.push({ name: `--${name}`, was: show(before), is: show(now) });
    }
  }
  const { precision } = current.settings;
  if (precision !== 'auto' && precision !== saved.precision) {
    changes.push({ name: '--precision', was: saved.precision, is: show(precision) });
  }
  return changes;
}

/** @throws TacoError `mismatch` that names all changes */
function refuseChanges(runFolder: string, changes: readonly Change[], step: number): void {
  if (changes.length === 0) return;
  const named = changes.map(({ name, was, is }) => `${name} was ${was}, now it is ${is}`);
  throw mismatch(
    runFolder,
    `${runFolder} was trained with other settings: ${named.join('; ')}; use the same, or --override, which goes on from step ${step} with those given now`,
  );
}

/** Other programs and machines compute the same, but not to the last bit. */
function notesOnComputing(saved: RunRecord, current: PlannedRun, step: number): string[] {
  const notes: string[] = [];
  if (saved.versions.code !== current.versions.code) {
    notes.push(
      `the program was ${programOf(saved)}, now it is ${programOf(current)}: results may differ from an uninterrupted run`,
    );
  }
  if (current.backend !== undefined && saved.backend !== current.backend) {
    notes.push(
      `the backend was ${saved.backend}, now it is ${current.backend}: results differ in the last digits`,
    );
  }
  const { precision } = current;
  if (precision !== undefined && saved.precision !== precision && current.settings.precision === 'auto') {
    notes.push(
      `the precision was ${saved.precision}, from step ${step} on it is ${precision}: --precision ${saved.precision} keeps it`,
    );
  }
  return notes;
}

function programOf({ versions }: RunIdentity): string {
  const { commit, code = 'unknown', 'taco-pretraining': version = '' } = versions;
  return [version, commit?.slice(0, 10), `(${code.slice(0, 10)})`].filter(Boolean).join(' ');
}

/** Weights apply from where they are given: the place in the data counts shares from there on. */
function weightChanges(saved: RunRecord, current: RunIdentity): Change[] {
  const before = new Map(saved.data.datasets.map(({ fingerprint, weight }) => [fingerprint, weight]));
  const { datasets } = current.data;
  if (datasets.every(({ fingerprint, weight }) => before.get(fingerprint) === weight)) return [];
  const mixOf = (weightOf: (dataset: (typeof datasets)[number]) => number | undefined): string =>
    datasets.map((dataset) => `${show(weightOf(dataset))}:${dataset.reference}`).join(' ');
  const was = mixOf(({ fingerprint }) => before.get(fingerprint));
  return [{ name: '--data', was, is: mixOf(({ weight }) => weight) }];
}

function settingsOf(saved: RunIdentity, current: RunIdentity): readonly string[] {
  return Object.keys({ ...saved.settings, ...current.settings });
}

function fingerprintsOf({ data }: RunIdentity): readonly string[] {
  return data.datasets.map(({ fingerprint }) => fingerprint).toSorted();
}

function namesOf({ data }: RunIdentity): string {
  return data.datasets
    .map(({ fingerprint, reference }) => `${reference} (${shortFingerprint(fingerprint)})`)
    .join(' and ');
}

function mismatch(runFolder: string, message: string): TacoError {
  return new TacoError(message, { code: 'mismatch', stage: 'train', path: runFolder });
}

type Value = SettingValue | undefined;

function show(value: Value): string {
  return value === undefined ? 'not set' : String(value);
}
