/**
 * A whole fine-tuning against PyTorch over several seeds: do both learn a task equally well?
 *
 *     npx tsx test/bench/finetune-seeds.ts MODEL [--task rte] [--data nyu-mll/glue] [--seeds 5] [--epochs 4]
 *         [--batch-size 16] [--lr 5e-5] [--warmup-steps 100] [--weight-decay 0] [--max-seq-len 128] [--out FOLDER]
 *
 * MODEL is what `npm run finetune` takes. Both sides get the same weights and the same encoded examples; head, order and
 * dropout come from generators of their own, so that only means and spreads compare, and the curves of
 * test/fixtures/finetune hold the arithmetic. PyTorch runs `BertForSequenceClassification` with AdamW, clipping and the
 * same schedule. Python with torch and transformers is looked for on the path and in TACO_PYTHON. Results of this project are
 * kept in --out (default: a temporary folder) and not computed again. p is that of an exact permutation test of the means:
 * the share of all ways to deal the scores to two sides that set the means as far apart.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createTokenizer, hubFromEnvironment } from '../../pipeline/index.ts';
import { usageError, wholeFlag } from '../../src/cli/command.ts';
import { finetuneFlags } from '../../src/cli/finetune-flags.ts';
import { openBackend } from '../../src/engine/index.ts';
import {
  computeMetrics,
  epochEvaluation,
  finetuneSettings,
  GLUE_REPOSITORY,
  glueTask,
  numOutputsOf,
  openGlue,
  predictionsOf,
  readInitialModel,
  readTask,
  runGlue,
} from '../../src/glue/index.ts';
import { toHuggingFaceConfig } from '../../src/model/config.ts';
import { writeSafetensors } from '../../src/train/safetensors.ts';
import { requirePython } from '../support/python.ts';
import { scriptArguments } from '../support/script.ts';
import { writeRows } from './finetune/exchange.ts';

const { flags, positionals } = scriptArguments({
  usage: 'npx tsx test/bench/finetune-seeds.ts MODEL',
  summary: 'A whole fine-tuning against PyTorch over several seeds: do both learn a task equally well?',
  positionals: ['model'],
  flags: {
    task: { type: 'string', placeholder: 'name', help: 'of GLUE (default: rte)' },
    seeds: { type: 'number', help: 'how many (default: 5)' },
    data: finetuneFlags.data,
    'max-seq-len': finetuneFlags['max-seq-len'],
    'batch-size': finetuneFlags['batch-size'],
    lr: finetuneFlags.lr,
    epochs: finetuneFlags.epochs,
    'warmup-steps': finetuneFlags['warmup-steps'],
    'weight-decay': finetuneFlags['weight-decay'],
    out: {
      type: 'string',
      placeholder: 'folder',
      help: 'for our results, to be kept (default: a temporary one)',
    },
  },
});
const [reference] = positionals;
if (reference === undefined) throw usageError('got no model, expected one, as in finetune-seeds.ts runs/x');
const {
  task: taskName = 'rte',
  data: dataReference = GLUE_REPOSITORY,
  seeds: numSeeds = 5,
  out,
  ...given
} = flags;
const settings = finetuneSettings(given);
const task = glueTask(taskName);
const seeds = Array.from({ length: wholeFlag('seeds', numSeeds, 1) }, (_, index) => 123 + index);
const python = requirePython(['torch', 'transformers']);
await openBackend('auto');
const context = hubFromEnvironment(process.env);
const model = await readInitialModel(reference, context);
const data = await openGlue(dataReference, context);
const temporary = await mkdtemp(join(tmpdir(), 'taco-seeds-'));

/** Scores after the last epoch and after the best, percent. */
interface Scores {
  readonly last: number;
  readonly best: number;
}

async function ours(): Promise<readonly Scores[]> {
  const results = await runGlue({
    model,
    data,
    tasks: [task],
    seeds,
    settings,
    precision: 'f32',
    folder: out ?? join(temporary, 'results'),
    signal: new AbortController().signal,
    report: (event) => {
      if (event.kind === 'finished') console.log(`this project, seed ${event.seed}: done`);
    },
  });
  return results.map(({ last, best }) => ({ last: 100 * last.score, best: 100 * best.score }));
}

async function pytorch(program: string): Promise<readonly Scores[]> {
  const encoded = await readTask(data, task, createTokenizer(model.tokenizer), settings['max-seq-len']);
  const [validation] = encoded.validations;
  const numOutputs = numOutputsOf(task);
  await writeFile(join(temporary, 'config.json'), JSON.stringify(toHuggingFaceConfig(model.config)));
  await writeSafetensors(join(temporary, 'model.safetensors'), model.tensors);
  await writeRows(join(temporary, 'train.json'), encoded.train);
  await writeRows(join(temporary, 'validation.json'), validation!.encoded);
  const options = {
    seeds,
    numOutputs,
    numThreads: availableParallelism(),
    batchSize: settings['batch-size'],
    epochs: settings.epochs,
    lr: settings.lr,
    warmupSteps: settings['warmup-steps'],
    weightDecay: settings['weight-decay'],
  };
  const script = join(import.meta.dirname, 'finetune', 'seeds.py');
  const child = spawn(program, [script, temporary, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const scores: Scores[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const { seed, epochs } = JSON.parse(line) as { seed: number; epochs: readonly (readonly number[])[] };
    const ofEpochs = epochs.map((outputs, index) => {
      const predictions = predictionsOf(task, Float32Array.from(outputs));
      const metrics = computeMetrics(task, predictions, validation!.encoded.labels);
      return 100 * epochEvaluation(index + 1, index + 1, { [validation!.split.name]: metrics }).score;
    });
    scores.push({ last: ofEpochs.at(-1)!, best: Math.max(...ofEpochs) });
    console.log(`PyTorch, seed ${seed}: done`);
  }
  const [status] = (await ended) as [number | null];
  if (status !== 0) throw new Error(`${script} ended with ${status}`);
  return scores;
}

function line(name: string, scores: readonly number[]): string {
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  const squares = scores.reduce((sum, score) => sum + (score - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / Math.max(1, scores.length - 1));
  const all = scores.map((score) => score.toFixed(1)).join(' ');
  return `${name.padEnd(20)} mean ${mean.toFixed(2)}, deviation ${deviation.toFixed(2)} (${all})`;
}

/** Two-sided; 252 ways for five seeds a side. */
function permutationTest(first: readonly number[], second: readonly number[]): number {
  const all = [...first, ...second];
  const total = all.reduce((sum, score) => sum + score, 0);
  const distance = (sum: number): number => Math.abs(sum / first.length - (total - sum) / second.length);
  const limit = distance(first.reduce((sum, score) => sum + score, 0)) - 1e-9;
  let [numFar, numWays] = [0, 0];
  const deal = (next: number, left: number, sum: number): void => {
    if (left === 0) {
      numWays += 1;
      if (distance(sum) >= limit) numFar += 1;
      return;
    }
    for (let at = next; at <= all.length - left; at += 1) deal(at + 1, left - 1, sum + all[at]!);
  };
  deal(0, first.length, 0);
  return numFar / numWays;
}

try {
  const sides = { 'this project': await ours(), PyTorch: await pytorch(python) };
  console.log(`${task.title}, ${task.validations[0]!.name}, ${seeds.length} seeds, ${model.name}`);
  for (const epoch of ['last', 'best'] as const) {
    for (const [name, scores] of Object.entries(sides)) {
      console.log(
        line(
          `${name}, ${epoch}`,
          scores.map((each) => each[epoch]),
        ),
      );
    }
    const [ourScores, theirs] = Object.values(sides).map((scores) => scores.map((each) => each[epoch]));
    console.log(`${epoch}: p ${permutationTest(ourScores!, theirs!).toFixed(3)}`);
  }
} finally {
  await rm(temporary, { recursive: true, force: true });
}
