import type { Manifest, PrepareEvent, PrepareProgress } from '../../pipeline/index.ts';
import { percent } from './preparation-plan.ts';
import { formatBytes, formatCount, formatDuration, type Progress } from './progress.ts';

export interface PreparationReporter {
  readonly report: (event: PrepareEvent) => void;
  /** Ends the progress line. */
  readonly close: () => void;
}

/** Turns the events of a preparation into progress and lines for people. */
export function createPreparationReporter(
  out: string,
  progress: Progress,
  now: () => number = () => performance.now(),
): PreparationReporter {
  const startedAt = now();
  let packingSince: number | undefined;
  let isIdle = true;

  const onProgress = (state: PrepareProgress): void => {
    packingSince ??= now();
    isIdle = false;
    const seconds = Math.max(1e-3, (now() - packingSince) / 1000);
    progress.update({
      label: 'prepare',
      done: state.inputBytes,
      total: state.totalInputBytes,
      figures: [
        `${formatBytes(state.textBytes)} text`,
        `${formatBytes(state.textBytes / seconds)}/s`,
        `${formatCount(state.tokens / seconds)} tokens/s`,
      ],
    });
  };

  return {
    report(event) {
      switch (event.type) {
        case 'planned':
          packingSince = now();
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
          packingSince = now();
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
          break;
      }
    },
    close() {
      progress.finish();
    },
  };
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
function summary({ totals, shards, settings }: Manifest, out: string, ms: number | undefined): string {
  const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
  const rows: readonly (readonly [string, string])[] = [
    ['documents', `${totals.documents}`],
    ['text', formatBytes(totals.textBytes)],
    ['tokens', `${totals.tokens} (unknown ${percent(ratio(totals.unknownTokens, totals.tokens))})`],
    ['train', `${totals.trainRows} rows`],
    ['validation', `${totals.validationRows} rows`],
    [
      'padding',
      `${totals.paddingTokens} ids (${percent(ratio(totals.paddingTokens, totals.paddingTokens + totals.tokens))})`,
    ],
    ['dropped', `${totals.droppedTokens} ids`],
    ['shards', `${shards.length}, ${formatBytes(bytes)}`],
    ['time', ms === undefined ? 'nothing to do' : formatDuration(ms)],
  ];
  const table = rows.map(([name, text]) => `  ${name.padEnd(12)}${text}`);
  const notes =
    settings.validation > 0 && totals.validationRows === 0
      ? ['note: no document fell to the validation split; a larger --validation keeps some']
      : [];
  return [`${out} is complete`, ...table, ...notes, `next: npm run train -- --data ${out}`].join('\n');
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
