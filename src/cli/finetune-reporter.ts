import type { EpochEvaluation, GlueEvent, GlueResult } from '../glue/index.ts';
import { formatDuration, type Progress } from './progress.ts';

/** Share of the last losses in the one that is shown. */
const LOSS_WINDOW = 20;

/** Turns the events of fine-tunings into progress and lines for people. */
export function createFinetuneReporter(
  progress: Progress,
  now: () => number = () => performance.now(),
): (event: GlueEvent) => void {
  let losses: number[] = [];
  let startedAt = 0;
  let bar = { done: 0, total: 0 };
  return (event) => {
    const place = `${event.task.title}, seed ${event.seed}`;
    switch (event.kind) {
      case 'known':
        progress.message(`${place}: finished before: ${describeResult(event.result)}`);
        break;
      case 'started': {
        losses = [];
        startedAt = now();
        const cut = event.numTruncated === 0 ? '' : `, ${event.numTruncated} of them cut`;
        progress.message(`${place}: ${event.numExamples} training examples${cut}`);
        break;
      }
      case 'update': {
        const { step, numSteps, metrics } = event;
        if (metrics.skipped) {
          progress.message(`${place}: update ${step} is skipped, its loss or gradient is not finite`);
        } else losses = [...losses.slice(1 - LOSS_WINDOW), metrics.loss];
        const mean = losses.reduce((sum, loss) => sum + loss, 0) / Math.max(1, losses.length);
        const figures = [`step ${step}/${numSteps}`, `loss ${mean.toFixed(3)}`];
        bar = { done: step, total: numSteps };
        progress.update({ label: place, ...bar, figures });
        break;
      }
      case 'prediction': {
        const figures = [`${event.split}: ${event.done}/${event.total} predicted`];
        progress.update({ label: place, ...bar, figures });
        break;
      }
      case 'evaluation':
        progress.message(
          `${place}: epoch ${event.evaluation.epoch}/${event.numEpochs}: ${describeMetrics(event.evaluation)}`,
        );
        break;
      case 'finished':
        progress.finish();
        for (const path of event.predictionFiles) progress.message(`${place}: predictions in ${path}`);
        progress.message(`${place}: ${describeResult(event.result)} (${formatDuration(now() - startedAt)})`);
        break;
    }
  };
}

/** `last 59.6, best 60.3 (epoch 3)`: percent. */
function describeResult({ last, best }: GlueResult): string {
  return `last ${percent(last.score)}, best ${percent(best.score)} (epoch ${best.epoch})`;
}

/** `accuracy 59.6`, by split where there are several. */
function describeMetrics({ metrics }: EpochEvaluation): string {
  const splits = Object.entries(metrics);
  return splits
    .map(([split, values]) => {
      const figures = Object.entries(values).map(
        ([name, value]) => `${name} ${value === null ? 'not defined' : percent(value)}`,
      );
      return `${splits.length > 1 ? `${split} ` : ''}${figures.join(', ')}`;
    })
    .join('; ');
}

function percent(share: number): string {
  return (100 * share).toFixed(1);
}
