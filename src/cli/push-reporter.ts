import type { PlannedRepository, PushEvent } from '../../pipeline/index.ts';
import { formatBytes, type Progress } from './progress.ts';

/** A line of a plan. */
export type PlanLine = readonly [name: string, text: string];

/** What a push would do, for people: where it goes, between lines on what goes there. */
export function describePush(
  plan: PlannedRepository,
  before: readonly PlanLine[],
  after: readonly PlanLine[],
): string {
  const { account, branch, isNew, isNewBranch, notes, visibility } = plan;
  const lines: readonly PlanLine[] = [
    ...before,
    ['repository', `${pageOfPlan(plan)}: ${visibility}, ${isNew ? 'to be created' : 'there'}`],
    ['branch', isNewBranch ? `${branch}, to be created` : branch],
    ['account', account],
    ...after,
  ];
  return [
    ...lines.map(([name, text]) => `${name.padEnd(12)}${text}`),
    ...notes.map((note) => `note: ${note}`),
  ].join('\n');
}

function pageOfPlan({ hub, type, repository }: PlannedRepository): string {
  return `${hub.endpoint}/${type === 'dataset' ? 'datasets/' : ''}${repository}`;
}

export interface PushReporter {
  readonly report: (event: PushEvent) => void;
  /** Ends the progress line. */
  readonly close: (isInterrupted: boolean) => void;
}

/**
 * Turns the events of a push into progress and lines for people.
 * @param next what to do with the `hub:` reference of what was pushed
 */
export function createPushReporter(
  plan: PlannedRepository,
  next: (reference: string) => string,
  progress: Progress,
  now: () => number = () => performance.now(),
): PushReporter {
  const { repository, branch, visibility } = plan;
  let since: number | undefined;
  let isDone = false;
  return {
    report(event) {
      switch (event.kind) {
        case 'verifying':
          progress.update({
            label: 'check',
            done: event.doneBytes,
            total: event.totalBytes,
            figures: [event.file],
          });
          if (event.doneBytes === event.totalBytes) progress.finish();
          break;
        case 'created':
          progress.message(`${repository} is created (${visibility}), branch ${branch}`);
          break;
        case 'uploading': {
          since ??= now();
          const seconds = Math.max(1e-3, (now() - since) / 1000);
          progress.update({
            label: 'upload',
            done: event.doneBytes,
            total: event.totalBytes,
            figures: [
              `${formatBytes(event.doneBytes)} of ${formatBytes(event.totalBytes)}`,
              `${formatBytes(event.doneBytes / seconds)}/s`,
            ],
          });
          break;
        }
        case 'committed':
          if (event.files.length > 0) progress.message(`committed ${namesOf(event.files)}`);
          break;
        case 'done': {
          isDone = true;
          progress.finish();
          const reference = branch === 'main' ? `hub:${repository}` : `hub:${repository}@${branch}`;
          const what = event.isUnchanged ? 'is there already' : 'is complete';
          progress.message(
            [`${pageOfPlan(plan)} ${what}, commit ${event.commit}`, `next: ${next(reference)}`].join('\n'),
          );
          break;
        }
      }
    },
    close(isInterrupted) {
      progress.finish();
      if (isInterrupted && !isDone) {
        progress.message('stopped: what was committed is kept; run the same command again to go on');
      }
    },
  };
}

function namesOf(files: readonly string[]): string {
  return files.length <= 2 ? files.join(', ') : `${files[0]!} … ${files.at(-1)!} (${files.length} files)`;
}
