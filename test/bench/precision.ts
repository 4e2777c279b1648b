/**
 * Whether training in bf16 learns what training in f32 learns: the same model from the same weights on the same
 * batches in both, update by update in turns, and the losses on the validation split after the last.
 *
 *     npm run bench:precision -- [--data FOLDER] [--model small] [--batch-size 16] [--steps 300] [--lr 5e-4]
 *
 * Without --data the built-in sample is prepared in rows of 128 tokens. Ends with 1 when the losses are more than 1 %
 * apart.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPrepareConfig } from '../../pipeline/config.ts';
import { evaluationBatches } from '../../pipeline/evaluation-batches.ts';
import { BUILTIN_TOKENIZER } from '../../pipeline/text/builtin-vocabulary.ts';
import { trainingBatches } from '../../pipeline/training-batches.ts';
import { usageError, wholeFlag } from '../../src/cli/command.ts';
import { openBackend } from '../../src/engine/index.ts';
import { learningRateAt } from '../../src/optim/schedule.ts';
import { resolveConfig } from '../../src/train/config.ts';
import { type Evaluation, evaluate } from '../../src/train/evaluate.ts';
import { pinnedData, planRun, type RunPlan, samplingOf, sessionOptionsOf } from '../../src/train/plan.ts';
import { TrainingSession } from '../../src/train/session.ts';
import { prepareToEnd } from '../support/preparations.ts';
import { scriptArguments } from '../support/script.ts';

/** Largest relative difference of the validation losses. */
const LIMIT = 0.01;
const PRECISIONS = ['f32', 'bf16'] as const;
type PrecisionName = (typeof PRECISIONS)[number];

const { flags } = scriptArguments({
  usage: 'npm run bench:precision --',
  summary: 'Whether training in bf16 learns what training in f32 learns.',
  flags: {
    data: {
      type: 'string',
      placeholder: 'folder',
      help: 'a dataset (default: the built-in sample, in rows of 128 tokens)',
    },
    model: { type: 'string', placeholder: 'name', help: 'shape of the model (default: small)' },
    'batch-size': { type: 'number', help: 'rows per update (default: 16)' },
    steps: { type: 'number', help: 'updates (default: 300)' },
    lr: { type: 'number', help: 'peak learning rate (default: 5e-4)' },
  },
});
const steps = wholeFlag('steps', flags.steps ?? 300, 1);

interface Contestant {
  readonly precision: PrecisionName;
  readonly session: TrainingSession;
  trainMs: number;
  numTokens: number;
}

const folder = mkdtempSync(join(tmpdir(), 'taco-precision-'));
try {
  const plan = await planRun(
    resolveConfig({
      flags: {
        data: flags.data ?? (await prepareSample(join(folder, 'data'))),
        out: join(folder, 'run'),
        model: flags.model ?? 'small',
        'batch-size': flags['batch-size'] ?? 16,
        'max-steps': steps,
        'warmup-steps': Math.ceil(steps / 10),
        lr: flags.lr ?? 5e-4,
      },
    }),
  );
  const { name, version } = await openBackend('tensorflow');
  console.log(
    `${name} ${version}: BERT-${plan.config.model}, ${steps} updates of ${plan.config.batchSize} × ${plan.mixture.maxSeqLen} tokens`,
  );
  const contestants = PRECISIONS.map(
    (precision): Contestant => ({
      precision,
      session: new TrainingSession(sessionOptionsOf(plan, precision)),
      trainMs: 0,
      numTokens: 0,
    }),
  );
  await trainAll(contestants, plan);
  const losses = await Promise.all(contestants.map(({ session }) => validationOf(session, plan)));
  for (const { session } of contestants) session.dispose();
  report(contestants, losses, plan.config.tcWeight);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function prepareSample(out: string): Promise<string> {
  await prepareToEnd(
    createPrepareConfig({
      sources: ['sample'],
      tokenizer: BUILTIN_TOKENIZER,
      maxSeqLen: 128,
      validation: '3%',
      workers: 0,
      out,
    }),
  );
  return out;
}

async function trainAll(contestants: readonly Contestant[], plan: RunPlan): Promise<void> {
  const { config } = plan;
  const schedule = { peak: config.lr, warmupSteps: config.warmupSteps, maxSteps: config.maxSteps };
  const batches = trainingBatches({ ...samplingOf(plan), data: pinnedData(plan), seed: config.seed });
  for (let step = 0; step < config.maxSteps; step += 1) {
    const { value: batch } = await batches.next();
    const learningRate = learningRateAt(step, schedule);
    const losses = contestants.map((contestant) => {
      const startedAt = performance.now();
      const { loss, numTokens } = contestant.session.trainStep([batch], { learningRate, step });
      // The first step traces the graph.
      if (step > 0) {
        contestant.trainMs += performance.now() - startedAt;
        contestant.numTokens += numTokens;
      }
      return loss.toFixed(3);
    });
    if ((step + 1) % 20 === 0) console.log(`update ${step + 1}: ${losses.join(' ')}`);
  }
}

async function validationOf(session: TrainingSession, plan: RunPlan): Promise<Evaluation> {
  const evaluation = await evaluate({
    session,
    batches: evaluationBatches({ ...samplingOf(plan), mixture: plan.mixture, seed: 0, maxRows: 512 }),
    signal: new AbortController().signal,
  });
  if (evaluation === undefined)
    throw usageError('the dataset has no validation rows to compare on; prepare one with --validation 1%');
  return evaluation;
}

function report(contestants: readonly Contestant[], losses: readonly Evaluation[], tcWeight: number): void {
  for (const [i, { precision, trainMs, numTokens }] of contestants.entries()) {
    const { mlmLoss, tcLoss = 0, numRows } = losses[i]!;
    const speed = ((1000 * numTokens) / trainMs).toFixed(0);
    console.log(
      `${precision.padEnd(4)}  MLM ${mlmLoss.toFixed(4)}  TC ${tcLoss.toFixed(4)}  of ${numRows} rows  ${speed} tokens/s`,
    );
  }
  const [f32, bf16] = losses.map(({ mlmLoss, tcLoss = 0 }) => ({
    MLM: mlmLoss,
    both: mlmLoss + tcWeight * tcLoss,
  }));
  for (const name of ['MLM', 'both'] as const) {
    const difference = bf16![name] / f32![name] - 1;
    const verdict = Math.abs(difference) <= LIMIT ? 'within' : 'NOT within';
    console.log(`${name.padEnd(4)}  ${(100 * difference).toFixed(3)} % apart, ${verdict} ${100 * LIMIT} %`);
    if (verdict !== 'within') process.exitCode = 1;
  }
}
