import type { PushEvent, PushPlan } from '../../pipeline/index.ts';
import { formatBytes, type Progress } from './progress.ts';

/** What a push would do, for people. */
export function describePush({
  account,
  branch,
  dataset,
  delta,
  files,
  isNew,
  isNewBranch,
  notes,
  repository,
  visibility,
  hub,
}: PushPlan): string {
  const { upload, stale, rest } = delta;
  const kept = files.shards.length - upload.length;
  const bytes = upload.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const state = isNew ? 'to be created' : 'there';
  const lines: readonly (readonly [string, string])[] = [
    ['dataset', dataset.reference],
    ['repository', `${hub.endpoint}/datasets/${repository}: ${visibility}, ${state}`],
    ['branch', isNewBranch ? `${branch}, to be created` : branch],
    ['account', account],
    ['shards', `${upload.length} to upload (${formatBytes(bytes)}), ${kept} there already`],
    ...(stale.length === 0 ? [] : [['delete', `${stale.length} shards of another dataset`] as const]),
    ['others', rest.length === 0 ? 'nothing to upload' : rest.map(({ path }) => path).join(', ')],
  ];
  return [
    ...lines.map(([name, text]) => `${name.padEnd(12)}${text}`),
    ...notes.map((note) => `note: ${note}`),
  ].join('\n');
}

export interface PushReporter {
  readonly report: (event: PushEvent) => void;
  /** Ends the progress line. */
  readonly close: (isInterrupted: boolean) => void;
}

/** Turns the events of a push into progress and lines for people. */
export function createPushReporter(
  { repository, branch, hub, visibility }: PushPlan,
  progress: Progress,
  now: () => number = () => performance.now(),
): PushReporter {
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
            [
              `${hub.endpoint}/datasets/${repository} ${what}, commit ${event.commit}`,
              `next: npm run train -- --data ${reference}`,
            ].join('\n'),
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
