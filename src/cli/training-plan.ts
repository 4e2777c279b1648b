import {
  chooseStart,
  countParameters,
  identityOf,
  type RunPlan,
  sharesOf,
  type StartingPoint,
  type StartOptions,
} from '../train/index.ts';
import { formatCount } from './progress.ts';

/**
 * What `train` would do, for `--dry-run`: reads the run's folder, writes nothing, loads no backend.
 * @throws TacoError when the folder's run and the settings do not go together
 */
export async function describePlan(plan: RunPlan, options: StartOptions): Promise<string> {
  const { config, mixture, model } = plan;
  const start = await chooseStart(config.out, options, identityOf(plan));
  const rowsPerUpdate = config.batchSize * config.gradAccum;
  const rows: readonly (readonly [string, string])[] = [
    ...dataOf(plan).map((text, index) => [index === 0 ? 'data' : '', text] as const),
    [
      'model',
      `${config.bertConfig ?? config.model}: ${model.numLayers} layers, ${model.hiddenSize} wide, ${model.numHeads} heads, ${exact(model.vocabSize)} words, ${formatCount(countParameters(model))} parameters`,
    ],
    ['objective', objectiveOf(plan)],
    [
      'updates',
      `${exact(config.maxSteps)} of ${config.batchSize} × ${config.gradAccum} rows (${exact(rowsPerUpdate * mixture.maxSeqLen)} tokens)${mixture.parts.length === 1 ? `, ${epochs(plan.numEpochs[0]!)}` : ''}`,
    ],
    [
      'optimiser',
      `AdamW, learning rate ${config.lr} after ${exact(config.warmupSteps)} updates of warm-up, then linearly to 0; weight decay ${config.weightDecay}, clipping at ${config.maxGradNorm}`,
    ],
    ['evaluation', evaluationOf(plan)],
    [
      'checkpoints',
      `${every(config.saveSteps) ?? 'at the end'}, the newest ${config.saveTotalLimit} kept, in ${config.out}`,
    ],
    ['computing', `backend ${config.backend}, precision ${config.precision}, seed ${config.seed}`],
    ['start', startOf(plan, start)],
  ];
  const lines = rows.map(([name, text]) => `${name.padEnd(12)}${text}`);
  return [...lines, ...[...plan.notes, ...start.notes].map((note) => `note: ${note}`)].join('\n');
}

/** A line for each dataset. */
function dataOf({ mixture, numEpochs }: RunPlan): readonly string[] {
  const shares = sharesOf(mixture);
  return mixture.parts.map(({ dataset, reference, weight }, index) => {
    const rows = `${exact(dataset.numRows('train'))} training rows, ${exact(dataset.numRows('validation'))} for validation, of ${dataset.maxSeqLen} tokens`;
    if (mixture.parts.length === 1) return `${reference}: ${rows}`;
    const share = Number((100 * shares[index]!).toPrecision(3));
    return `${reference}: ${share} % of the rows (weight ${weight}), ${epochs(numEpochs[index]!)}; ${rows}`;
  });
}

function epochs(count: number): string {
  return `${count.toPrecision(3)} epochs`;
}

function objectiveOf({ config }: RunPlan): string {
  const mlm = `MLM on ${Number((100 * config.mlmProbability).toPrecision(6))} % of the tokens`;
  if (config.mode === 'mlm') return mlm;
  const special = config.excludeSpecial ? ', special tokens excluded' : '';
  return `${mlm} + ${config.tcWeight} × TC (K ${config.negK}, W ${config.posWindow} by the ${config.windowRule} rule, τ ${config.tau}, anchors: ${config.variant}${special})`;
}

function evaluationOf({ config, mixture }: RunPlan): string {
  const rows = mixture.numRows('validation');
  if (rows === 0) return 'none: there is no validation split';
  const used = config.evalRows === 0 ? rows : Math.min(rows, config.evalRows);
  const interval = every(config.evalSteps);
  return interval === undefined ? 'none' : `${interval}, on ${exact(used)} rows`;
}

function startOf({ config }: RunPlan, { checkpoint, moveAside }: StartingPoint): string {
  if (checkpoint !== undefined) {
    return `from ${checkpoint.path}, step ${exact(checkpoint.state.progress.step)} of ${exact(config.maxSteps)}`;
  }
  const weights = config.initFrom === undefined ? '' : `, with the weights of ${config.initFrom}`;
  return moveAside ? `anew${weights}; the run in ${config.out} is moved aside` : `anew${weights}`;
}

function every(steps: number): string | undefined {
  return steps === 0 ? undefined : `every ${exact(steps)} updates`;
}

/** `250,000` */
function exact(count: number): string {
  return count.toLocaleString('en-US');
}
