import { resolveConfig } from '../../src/train/config.ts';
import { planRun } from '../../src/train/plan.ts';
import { type RunEvent, type TrainOutcome, train } from '../../src/train/run.ts';
import { temporaryFolder } from './folders.ts';
import { type TrainingFiles, writeTrainingFiles } from './training.ts';

export interface RunOptions {
  readonly resume?: boolean;
  readonly override?: boolean;
  /** Interrupts after this update. */
  readonly stopAfter?: number;
  readonly onEvent?: (event: RunEvent) => void;
}

export interface Ran {
  readonly outcome: TrainOutcome;
  readonly events: readonly RunEvent[];
  readonly notes: readonly string[];
}

/** Trains in this process. */
export async function run(flags: Readonly<Record<string, unknown>>, options: RunOptions = {}): Promise<Ran> {
  const plan = await planRun(resolveConfig({ flags }));
  const abort = new AbortController();
  const events: RunEvent[] = [];
  const outcome = await train(plan, {
    resume: options.resume,
    override: options.override,
    signal: abort.signal,
    report: (event) => {
      events.push(event);
      options.onEvent?.(event);
      if (event.kind === 'update' && event.progress.step === options.stopAfter) abort.abort();
    },
  });
  const notes = events.flatMap((event) => (event.kind === 'note' ? [event.text] : []));
  return { outcome, events, notes };
}

/** What runs need, in a folder of their own. */
export async function files(): Promise<{ readonly folder: string; readonly files: TrainingFiles }> {
  const folder = await temporaryFolder();
  return { folder, files: await writeTrainingFiles(folder) };
}
