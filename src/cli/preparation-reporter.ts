import {
  describeTotals,
  type Manifest,
  type PrepareEvent,
  type PrepareProgress,
  type SourceIdentity,
} from '../../pipeline/index.ts';
import { describeProfile } from './preparation-profile.ts';
import { formatBytes, formatCount, formatDuration, type Progress } from './progress.ts';

export interface PreparationReporter {
  readonly report: (event: PrepareEvent) => void;
  /** Ends the progress line. */
  readonly close: () => void;
}

export interface PreparationReporterOptions {
  /** The dataset's folder. */
  readonly out: string;
  readonly progress: Progress;
  /** Print where the time went. */
  readonly profile: boolean;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/** Turns the events of a preparation into progress and lines for people. */
export function createPreparationReporter(options: PreparationReporterOptions): PreparationReporter {
  const { out, progress, profile, now = () => performance.now() } = options;
  const startedAt = now();
  let sources: readonly SourceIdentity[] = [];
  let isIdle = true;
  let textBytes = 0;
  /** The source that is being read, since when, and when it was heard of last. */
  let source: number | undefined;
  let since = startedAt;
  let heardAt = startedAt;

  const onProgress = ({ sources: states, source: read }: PrepareProgress): void => {
    isIdle = false;
    textBytes = states.reduce((sum, state) => sum + state.textBytes, 0);
    const isMixed = sources.some(({ weight }) => weight !== undefined);
    if (source !== undefined && source !== read && !isMixed) {
      progress.finish();
      since = heardAt;
    }
    source = read;
    heardAt = now();
    const seconds = Math.max(1e-3, (heardAt - since) / 1000);
    const shown = isMixed ? totalOf(states) : states[read]!;
    progress.update({
      label: isMixed ? 'prepare' : sources[read]!.spec,
      done: shown.inputBytes,
      total: shown.totalInputBytes,
      figures: [
        `${formatCount(shown.documents)} rows`,
        `${formatBytes(shown.textBytes)} text`,
        `${formatBytes(shown.textBytes / seconds)}/s`,
        `${formatCount(shown.tokens)} tokens`,
        `${formatCount(shown.tokens / seconds)} tokens/s`,
      ],
    });
  };

  return {
    report(event) {
      switch (event.type) {
        case 'planned':
          sources = event.plan.manifest.sources;
          since = now();
          progress.message(introduction(event.plan.manifest, event.plan.exists, out));
          break;
        case 'checking':
          progress.update({
            label: 'check',
            done: event.index,
            total: event.count,
            figures: [event.file],
          });
          if (event.index === event.count) progress.finish();
          since = now();
          break;
        case 'repairing':
          progress.message(`${event.file}: ${event.damage}; making it again`);
          break;
        case 'progress':
          onProgress(event.progress);
          break;
        case 'committed':
          for (const { file, rows, bytes } of event.shards) {
            progress.message(`${file}: ${rows} rows, ${formatBytes(bytes)}`);
          }
          break;
        case 'stopped':
          progress.finish();
          progress.message(farewell(event.manifest, out));
          break;
        case 'done':
          progress.finish();
          progress.message(summary(event.manifest, out, isIdle ? undefined : now() - startedAt));
          if (profile) progress.message(describeProfile(event.times, textBytes, now() - startedAt));
          break;
      }
    },
    close() {
      progress.finish();
    },
  };
}

function totalOf(states: PrepareProgress['sources']): PrepareProgress['sources'][number] {
  return states.reduce((sum, state) => ({
    inputBytes: sum.inputBytes + state.inputBytes,
    totalInputBytes: sum.totalInputBytes + state.totalInputBytes,
    documents: sum.documents + state.documents,
    textBytes: sum.textBytes + state.textBytes,
    tokens: sum.tokens + state.tokens,
  }));
}

function introduction(manifest: Manifest, exists: boolean, out: string): string {
  const names = manifest.sources.map(({ spec }) => spec).join(', ');
  if (!exists) return `preparing ${names} into ${out}`;
  if (manifest.status === 'complete') return `${out} is complete; checking its files`;
  return `continuing ${out} after ${manifest.shards.length} shards (${manifest.totals.trainRows} training rows)`;
}

function farewell(manifest: Manifest | undefined, out: string): string {
  const shards = manifest?.shards.length ?? 0;
  const kept = shards === 0 ? 'no shard was full yet' : `${shards} shards are safe in ${out}`;
  return `stopped: ${kept}; run the same command again to continue`;
}

/** The table at the end. */
function summary(manifest: Manifest, out: string, ms: number | undefined): string {
  const { settings, shards, totals } = manifest;
  const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
  const rows = [
    ...describeTotals(manifest),
    ['shards', `${shards.length}, ${formatBytes(bytes)}`] as const,
    ['time', ms === undefined ? 'nothing to do' : formatDuration(ms)] as const,
  ];
  const table = rows.map(([name, text]) => `  ${name.padEnd(12)}${text}`);
  const notes =
    settings.validation > 0 && totals.validationRows === 0
      ? ['note: no document fell to the validation split; a larger --validation keeps some']
      : [];
  return [`${out} is complete`, ...table, ...notes, `next: npm run train -- --data ${out}`].join('\n');
}
