import { flopsPerUpdate, type RunEvent, type RunPlan, type TrainOutcome } from '../train/index.ts';
import { formatCount, formatDuration, type Progress } from './progress.ts';

export interface TrainingReporter {
  readonly report: (event: RunEvent) => void;
  /** Last words on a run; ends the progress line. Undefined after an error. */
  readonly close: (outcome: TrainOutcome | undefined) => void;
}

/** Share of the last updates in the speed that is shown. */
const SPEED_WINDOW = 20;

/** Turns the events of a run into progress and lines for people. */
export function createTrainingReporter(plan: RunPlan, progress: Progress): TrainingReporter {
  const { config } = plan;
  const recent: { readonly tokens: number; readonly ms: number }[] = [];
  let trainingMs = 0;
  let waitingMs = 0;
  let numUpdates = 0;
  let matrixPeak: number | undefined;

  const say = (text: string): void => {
    progress.message(text);
  };

  const onUpdate = (event: Extract<RunEvent, { kind: 'update' }>): void => {
    const { metrics, progress: state } = event;
    // Before the first update the worker starts; that is no waiting of a run that is going.
    if (numUpdates > 0) waitingMs += event.waitMs;
    trainingMs += event.stepMs + (numUpdates > 0 ? event.waitMs : 0);
    numUpdates += 1;
    recent.push({ tokens: metrics.numTokens, ms: event.stepMs + (numUpdates > 1 ? event.waitMs : 0) });
    if (recent.length > SPEED_WINDOW) recent.shift();
    if (metrics.skipped) {
      say(
        `step ${state.step}: loss or gradient is not finite, the update is skipped (${state.numSkipped} so far)`,
      );
    }
    progress.update({
      label: 'train',
      done: state.step,
      total: config.maxSteps,
      figures: [
        `step ${state.step}/${config.maxSteps}`,
        `loss ${metrics.loss.toFixed(3)}`,
        `MLM ${metrics.mlmLoss.toFixed(3)}`,
        ...(metrics.tcLoss === undefined ? [] : [`TC ${metrics.tcLoss.toFixed(3)}`]),
        `${formatCount(speedOf(recent))} tokens/s`,
        ...(matrixPeak === undefined ? [] : [`MFU ${percent(utilisation(plan, recent, matrixPeak))}`]),
        `waiting ${percent(shareOf(waitingMs, trainingMs))}`,
      ],
    });
  };

  const onEvaluation = (event: Extract<RunEvent, { kind: 'evaluation' }>): void => {
    const { mlmLoss, mlmAccuracy, numRows, perplexity, tcAccuracy, tcLoss } = event.evaluation;
    const tc =
      tcLoss === undefined || tcAccuracy === undefined
        ? ''
        : `, TC loss ${tcLoss.toFixed(3)}, accuracy ${percent(tcAccuracy)}`;
    say(
      `step ${event.progress.step}: validation on ${numRows} rows: MLM loss ${mlmLoss.toFixed(3)}, perplexity ${formatCount(perplexity)}, accuracy ${percent(mlmAccuracy)}${tc} (${formatDuration(event.durationMs)})`,
    );
  };

  return {
    report(event) {
      switch (event.kind) {
        case 'note':
          say(event.text);
          break;
        case 'started':
          matrixPeak = event.matrixPeak;
          say(startedLine(plan, event));
          break;
        case 'update':
          onUpdate(event);
          break;
        case 'evaluating':
          // Only the first one needs a word: until then there is no progress to look at.
          if (numUpdates === 0) say(`step ${event.progress.step}: evaluating on the validation split`);
          break;
        case 'evaluation':
          onEvaluation(event);
          break;
        case 'checkpoint':
          say(
            `step ${event.progress.step}: checkpoint ${event.path} (${(event.durationMs / 1000).toFixed(1)} s)`,
          );
          break;
        case 'checkpoint-failed':
          say(
            `step ${event.progress.step}: ${event.error.message}; training goes on, older checkpoints stay, the next one is due in ${config.saveSteps} updates`,
          );
          break;
      }
    },
    close(outcome) {
      progress.finish();
      if (numUpdates > 1) {
        say(
          `${numUpdates} updates in ${formatDuration(trainingMs)}, ${percent(shareOf(waitingMs, trainingMs))} of it waiting for data`,
        );
      }
      if (outcome !== undefined) say(lastWords(plan, outcome));
    },
  };
}

function startedLine(plan: RunPlan, event: Extract<RunEvent, { kind: 'started' }>): string {
  const { backend, matrixPeak, precision, progress, resumedFrom } = event;
  const { initFrom } = plan.config;
  const place =
    resumedFrom === undefined
      ? `new run in ${plan.config.out}${initFrom === undefined ? '' : `, with the weights of ${initFrom}`}`
      : `going on from ${resumedFrom}, step ${progress.step} of ${plan.config.maxSteps}`;
  const peak = matrixPeak === undefined ? '' : `, matrix products at ${formatCount(matrixPeak)}FLOP/s`;
  return `${place}; ${backend.name} ${backend.version} on ${backend.device}, ${precision}${peak}`;
}

function lastWords({ config }: RunPlan, { progress, status }: TrainOutcome): string {
  const skipped = progress.numSkipped === 0 ? '' : `, ${progress.numSkipped} of them skipped`;
  switch (status) {
    case 'finished':
      return `finished: ${progress.step} updates${skipped}, ${formatCount(progress.numTokens)} tokens`;
    case 'interrupted':
      return `stopped at step ${progress.step} of ${config.maxSteps}; the same command goes on from there`;
    case 'already-finished':
      return `${config.out} has already made ${progress.step} of ${config.maxSteps} updates; a higher --max-steps with --override trains on, --no-resume begins anew`;
  }
}

function speedOf(recent: readonly { readonly tokens: number; readonly ms: number }[]): number {
  const tokens = recent.reduce((sum, update) => sum + update.tokens, 0);
  const ms = recent.reduce((sum, update) => sum + update.ms, 0);
  return ms === 0 ? 0 : (1000 * tokens) / ms;
}

/** Model FLOPs utilisation: share of the measured rate of matrix products that the last updates reached. */
function utilisation(plan: RunPlan, recent: readonly { readonly ms: number }[], matrixPeak: number): number {
  const ms = recent.reduce((sum, update) => sum + update.ms, 0);
  return shareOf(recent.length * flopsPerUpdate(plan), (matrixPeak * ms) / 1000);
}

function shareOf(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
