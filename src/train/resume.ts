import { shortFingerprint, TacoError } from '../../pipeline/index.ts';
import type { PlannedRun, RunIdentity, RunRecord } from './checkpoint-state.ts';
import { type FoundCheckpoint, findCheckpoint, holdsRun } from './run-folder.ts';
import {
  changeableSettings,
  flagNameOf,
  remarkableSettings,
  type SettingName,
  type SettingValue,
} from './settings.ts';

/** Where a run begins. */
export interface StartingPoint {
  /** Undefined: at the first step. */
  readonly checkpoint: FoundCheckpoint | undefined;
  /** A run lies in the folder and has to be moved out of the way first. */
  readonly moveAside: boolean;
  /** What the user should know: damaged checkpoints, changed settings. */
  readonly notes: readonly string[];
}

/**
 * Decides where a run begins. Reads only.
 * @param resume true: there must be a checkpoint; false: begin anew; undefined: go on where there is one
 * @throws TacoError `not-found`, `corrupt`, or `mismatch` with the setting and both values
 */
export async function chooseStart(
  runFolder: string,
  resume: boolean | undefined,
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
  const { step } = checkpoint.state.progress;
  const notes = damaged.map((line) => `${line}; it is set aside, the checkpoint before is used`);
  return {
    checkpoint,
    moveAside: false,
    notes: [...notes, ...compareRuns(runFolder, checkpoint.state.run, current, step)],
  };
}

/**
 * Holds what a checkpoint was trained with against what is asked for now.
 * @returns a line for each setting that may change and did, where that is worth knowing
 * @throws TacoError `mismatch` for the first one that may not
 */
export function compareRuns(
  runFolder: string,
  saved: RunRecord,
  current: PlannedRun,
  step: number,
): readonly string[] {
  const refuse = (what: string, before: Value, now: Value): TacoError =>
    new TacoError(
      `${runFolder} was trained with ${what} ${show(before)}, now it is ${show(now)}; use the same, or another --out, or --no-resume, which moves the old run aside`,
      { code: 'mismatch', stage: 'train', path: runFolder },
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
  const flagsOf = (names: readonly SettingName[]) => new Set(names.map((name) => flagNameOf(name)));
  const changeable = flagsOf([...changeableSettings]);
  const remarkable = flagsOf(remarkableSettings);
  const notes = weightNotes(saved, current, step);
  for (const name of Object.keys({ ...saved.settings, ...current.settings })) {
    const before = saved.settings[name];
    const now = current.settings[name];
    if (before === now) continue;
    if (!changeable.has(name)) throw refuse(`--${name}`, before, now);
    if (!remarkable.has(name)) continue;
    notes.push(`--${name} was ${show(before)}, from step ${step} on it is ${show(now)}`);
  }
  if (current.backend !== undefined && saved.backend !== current.backend) {
    notes.push(
      `the backend was ${saved.backend}, now it is ${current.backend}: results differ in the last digits`,
    );
  }
  if (current.precision !== undefined && saved.precision !== current.precision) {
    notes.push(
      `the precision was ${saved.precision}, from step ${step} on it is ${current.precision}: --precision ${saved.precision} keeps it`,
    );
  }
  return notes;
}

/** Weights apply from where they are given: the place in the data counts shares from there on. */
function weightNotes(saved: RunRecord, current: RunIdentity, step: number): string[] {
  const before = new Map(saved.data.datasets.map(({ fingerprint, weight }) => [fingerprint, weight]));
  const { datasets } = current.data;
  if (datasets.every(({ fingerprint, weight }) => before.get(fingerprint) === weight)) return [];
  const mixOf = (weightOf: (dataset: (typeof datasets)[number]) => number | undefined): string =>
    datasets.map((dataset) => `${show(weightOf(dataset))}:${dataset.reference}`).join(' ');
  const was = mixOf(({ fingerprint }) => before.get(fingerprint));
  return [`--data was ${was}, from step ${step} on it is ${mixOf(({ weight }) => weight)}`];
}

function fingerprintsOf({ data }: RunIdentity): readonly string[] {
  return data.datasets.map(({ fingerprint }) => fingerprint).toSorted();
}

function namesOf({ data }: RunIdentity): string {
  return data.datasets
    .map(({ fingerprint, reference }) => `${reference} (${shortFingerprint(fingerprint)})`)
    .join(' and ');
}

type Value = SettingValue | undefined;

function show(value: Value): string {
  return value === undefined ? 'not set' : String(value);
}
