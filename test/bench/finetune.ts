/**
 * How fast a fine-tuning is: this project against transformers' `Trainer` on the same examples and the same machine, an
 * update each in turn. RTE, BERT-small from random weights, batches of 16, at most 128 tokens, float32.
 *
 *     npm run bench:finetune -- [--data nyu-mll/glue] [--model small] [--steps 30] [--quick]
 *
 * Without --data the examples are made up, as long as those of RTE. Python with torch and transformers is looked for on
 * the path and in TACO_PYTHON. Figures are medians of updates. Ours include making the batch, those of the `Trainer` do
 * not. Exits with 1 when ours is less than twice as fast. `--quick` is a smoke test with a tiny model.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { createTokenizer, hubFromEnvironment, Random } from '../../pipeline/index.ts';
import { builtinTokenizer } from '../../pipeline/text/builtin-vocabulary.ts';
import { openBackend } from '../../src/engine/index.ts';
import { assembleBatch, planEpoch } from '../../src/glue/batches.ts';
import { openGlue } from '../../src/glue/data.ts';
import { type EncodedExamples, encodeExamples, lengthsOf } from '../../src/glue/encode.ts';
import type { GlueExample } from '../../src/glue/example.ts';
import { FinetuneSession } from '../../src/glue/finetune-session.ts';
import { glueTask } from '../../src/glue/tasks.ts';
import { modelPreset, toHuggingFaceConfig } from '../../src/model/config.ts';
import { learningRateAt } from '../../src/optim/schedule.ts';
import { writeSafetensors } from '../../src/train/safetensors.ts';
import { findPython } from '../support/python.ts';
import { randomParameters } from '../support/random-model.ts';
import { writeRows } from './finetune/exchange.ts';

const WARM_UP_STEPS = 5;
const EXPECTED_RATIO = 2;
const BATCH_SIZE = 16;
const MAX_SEQ_LEN = 128;
const SEED = 123;
/** Tokens of RTE's training examples at the 10th, 20th, … 90th percentile and the longest, cut at 128. */
const RTE_LENGTHS = [33, 40, 45, 50, 56, 62, 73, 103, 128, 128];

const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    model: { type: 'string' },
    steps: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});
const modelName = values.model ?? (values.quick ? 'tiny' : 'small');
const numSteps = Number(values.steps ?? (values.quick ? 3 : 30));

interface UpdateTime {
  readonly wallMs: number;
  readonly processorMs: number;
}

async function readExamples(): Promise<readonly GlueExample[]> {
  if (values.data === undefined) return madeUpExamples();
  const task = glueTask('rte');
  return (await openGlue(values.data, hubFromEnvironment(process.env))).read(task, task.train);
}

/** Words without meaning, in examples of RTE's lengths. */
function madeUpExamples(): readonly GlueExample[] {
  return Array.from({ length: 2490 }, (_, index) => {
    const random = new Random(SEED, index);
    const decile = random.below(10);
    const least = RTE_LENGTHS[decile - 1] ?? 20;
    const length = least + random.below(1 + RTE_LENGTHS[decile]! - least);
    const words = Array.from({ length: length - 3 }, () => (random.below(2) === 0 ? 'house' : 'river'));
    return { index, texts: [words.slice(9).join(' '), words.slice(0, 9).join(' ')], label: index % 2 };
  });
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

function createOurs(encoded: EncodedExamples) {
  const model = modelPreset(modelName);
  const session = new FinetuneSession(
    {
      model,
      numOutputs: 2,
      seed: SEED,
      optimizer: { weightDecay: 0, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
    },
    randomParameters(model, SEED),
  );
  const order = { batchSize: BATCH_SIZE, paddedLengths: [MAX_SEQ_LEN], mode: 'plain', seed: SEED } as const;
  const batches = planEpoch(lengthsOf(encoded), { ...order, epoch: 1 });
  const schedule = { peak: 5e-5, warmupSteps: 100, maxSteps: 1000 };
  return {
    update(step: number): UpdateTime {
      const [startedAt, cpu] = [performance.now(), process.cpuUsage()];
      const planned = batches[step % batches.length]!;
      const batch = assembleBatch(encoded, planned, BATCH_SIZE, model.padTokenId);
      session.trainStep(batch, { learningRate: learningRateAt(step, schedule), step });
      const used = process.cpuUsage(cpu);
      return { wallMs: performance.now() - startedAt, processorMs: (used.user + used.system) / 1000 };
    },
  };
}

async function startTrainer(python: string, folder: string, encoded: EncodedExamples) {
  const model = modelPreset(modelName);
  await writeFile(join(folder, 'config.json'), JSON.stringify(toHuggingFaceConfig(model)));
  await writeSafetensors(join(folder, 'model.safetensors'), randomParameters(model, SEED));
  await writeRows(join(folder, 'rows.json'), encoded);
  const options = {
    batchSize: BATCH_SIZE,
    maxSeqLen: MAX_SEQ_LEN,
    numSteps: WARM_UP_STEPS + numSteps,
    numThreads: availableParallelism(),
  };
  const script = join(import.meta.dirname, 'finetune', 'trainer.py');
  const child = spawn(python, [script, folder, JSON.stringify(options)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async update(): Promise<UpdateTime> {
      child.stdin.write('\n');
      for (;;) {
        const line = await lines.next();
        if (line.done === true) throw new Error("transformers' Trainer ended");
        if (line.value.startsWith('{"wallMs"')) return JSON.parse(line.value) as UpdateTime;
      }
    },
    async stop(): Promise<void> {
      child.stdin.end();
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    },
  };
}

const backend = await openBackend('auto');
const encoded = encodeExamples(await readExamples(), createTokenizer(builtinTokenizer()), MAX_SEQ_LEN);
const lengths = [...lengthsOf(encoded)].sort((a, b) => a - b);
const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
console.log(
  `BERT-${modelName}, ${values.data ?? "made-up examples of RTE's lengths"} (mean ${mean.toFixed(0)} tokens), batches of ${BATCH_SIZE}, at most ${MAX_SEQ_LEN} tokens, f32`,
);
console.log(
  `${backend.name} ${backend.version} on ${backend.device}, ${availableParallelism()} threads, load ${loadavg()[0]!.toFixed(1)}`,
);
const python = findPython(['torch', 'transformers', 'accelerate']);
const folder = await mkdtemp(join(tmpdir(), 'taco-finetune-'));
const ours = createOurs(encoded);
const trainer = python === undefined ? undefined : await startTrainer(python, folder, encoded);
try {
  const times: Record<'ours' | 'trainer', UpdateTime[]> = { ours: [], trainer: [] };
  for (let step = 0; step < WARM_UP_STEPS + numSteps; step += 1) {
    times.ours.push(ours.update(step));
    if (trainer !== undefined) times.trainer.push(await trainer.update());
  }
  const figure = (who: keyof typeof times, what: keyof UpdateTime) =>
    median(times[who].slice(WARM_UP_STEPS).map((time) => time[what]));
  for (const who of trainer === undefined ? (['ours'] as const) : (['ours', 'trainer'] as const)) {
    console.log(
      `${who.padEnd(8)} ${figure(who, 'wallMs').toFixed(0)} ms an update, ${figure(who, 'processorMs').toFixed(0)} ms of processors`,
    );
  }
  if (trainer === undefined) console.log("transformers' Trainer is LEFT OUT: see TACO_PYTHON");
  else {
    const ratio = figure('trainer', 'wallMs') / figure('ours', 'wallMs');
    const processorRatio = figure('trainer', 'processorMs') / figure('ours', 'processorMs');
    console.log(
      `this project is ${ratio.toFixed(2)} times as fast as the Trainer (${processorRatio.toFixed(2)} by processor time)`,
    );
    if (ratio < EXPECTED_RATIO && !values.quick) process.exitCode = 1;
  }
} finally {
  await trainer?.stop();
  await rm(folder, { recursive: true, force: true });
}
