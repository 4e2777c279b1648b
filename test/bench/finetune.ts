/**
 * How fast a fine-tuning is: this project against transformers' `Trainer` on the same examples and the same machine, an
 * update each in turn. RTE, BERT-small from random weights, batches of 16, at most 128 tokens, float32; ours with products
 * in bfloat16 too, where the backend has them.
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
import { createTokenizer, hubFromEnvironment, Random } from '../../pipeline/index.ts';
import { builtinTokenizer } from '../../pipeline/text/builtin-vocabulary.ts';
import { wholeFlag } from '../../src/cli/command.ts';
import { finetuneFlags } from '../../src/cli/finetune-flags.ts';
import { choosePrecision, openBackend, type Precision } from '../../src/engine/index.ts';
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
import { scriptArguments } from '../support/script.ts';
import { writeRows } from './finetune/exchange.ts';

const WARM_UP_STEPS = 5;
const EXPECTED_RATIO = 2;
const BATCH_SIZE = 16;
const MAX_SEQ_LEN = 128;
const SEED = 123;
/** Tokens of RTE's training examples at the 10th, 20th, … 90th percentile and the longest, cut at 128. */
const RTE_LENGTHS = [33, 40, 45, 50, 56, 62, 73, 103, 128, 128];

const { flags } = scriptArguments({
  usage: 'npm run bench:finetune --',
  summary: "How fast a fine-tuning is, against transformers' Trainer.",
  flags: {
    data: {
      ...finetuneFlags.data,
      help: "GLUE's files or dataset, for the real RTE (default: made-up examples)",
    },
    model: { type: 'string', placeholder: 'name', help: 'shape of the model (default: small)' },
    steps: { type: 'number', help: 'updates of each side (default: 30)' },
    quick: { type: 'boolean', help: 'a smoke test with a tiny model' },
  },
});
const isQuick = flags.quick === true;
const modelName = flags.model ?? (isQuick ? 'tiny' : 'small');
const model = modelPreset(modelName);
const numSteps = wholeFlag('steps', flags.steps ?? (isQuick ? 3 : 30), 1);

interface UpdateTime {
  readonly wallMs: number;
  readonly processorMs: number;
}

async function readExamples(): Promise<readonly GlueExample[]> {
  if (flags.data === undefined) return madeUpExamples();
  const task = glueTask('rte');
  return (await openGlue(flags.data, hubFromEnvironment(process.env))).read(task, task.train);
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

/** Makes updates of a session of its own. */
function createOurs(encoded: EncodedExamples, precision: Precision): (step: number) => UpdateTime {
  const session = new FinetuneSession(
    {
      model,
      numOutputs: 2,
      seed: SEED,
      optimizer: { weightDecay: 0, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
      precision,
    },
    randomParameters(model, SEED),
  );
  const order = { batchSize: BATCH_SIZE, paddedLengths: [MAX_SEQ_LEN], mode: 'plain', seed: SEED } as const;
  const batches = planEpoch(lengthsOf(encoded), { ...order, epoch: 1 });
  const schedule = { peak: 5e-5, warmupSteps: 100, maxSteps: 1000 };
  return (step) => {
    const [startedAt, cpu] = [performance.now(), process.cpuUsage()];
    const planned = batches[step % batches.length]!;
    const batch = assembleBatch(encoded, planned, BATCH_SIZE, model.padTokenId);
    session.trainStep(batch, { learningRate: learningRateAt(step, schedule), step });
    const used = process.cpuUsage(cpu);
    return { wallMs: performance.now() - startedAt, processorMs: (used.user + used.system) / 1000 };
  };
}

async function startTrainer(python: string, folder: string, encoded: EncodedExamples) {
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
    update: async (): Promise<UpdateTime> => {
      child.stdin.write('\n');
      for (;;) {
        const line = await lines.next();
        if (line.done === true) throw new Error("transformers' Trainer ended");
        if (line.value.startsWith('{"wallMs"')) return JSON.parse(line.value) as UpdateTime;
      }
    },
    stop: async (): Promise<void> => {
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
  `BERT-${modelName}, ${flags.data ?? "made-up examples of RTE's lengths"} (mean ${mean.toFixed(0)} tokens), batches of ${BATCH_SIZE}, at most ${MAX_SEQ_LEN} tokens`,
);
console.log(
  `${backend.name} ${backend.version} on ${backend.device}, ${availableParallelism()} threads, load ${loadavg()[0]!.toFixed(1)}`,
);
const python = findPython(['torch', 'transformers', 'accelerate']);
const folder = await mkdtemp(join(tmpdir(), 'taco-finetune-'));
const hasBfloat16 = choosePrecision('auto', backend) === 'bf16';
const trainer = python === undefined ? undefined : await startTrainer(python, folder, encoded);
const sides = [
  { name: 'ours, f32', update: createOurs(encoded, 'f32'), times: [] as UpdateTime[] },
  {
    name: 'ours, bf16',
    update: hasBfloat16 ? createOurs(encoded, 'bf16') : undefined,
    times: [] as UpdateTime[],
  },
  { name: 'Trainer, f32', update: trainer?.update, times: [] as UpdateTime[] },
];
try {
  for (let step = 0; step < WARM_UP_STEPS + numSteps; step += 1) {
    for (const { update, times } of sides) if (update !== undefined) times.push(await update(step));
  }
  const figure = (side: number, what: keyof UpdateTime): number =>
    median(sides[side]!.times.slice(WARM_UP_STEPS).map((time) => time[what]));
  for (const [side, { name, update }] of sides.entries()) {
    if (update === undefined) {
      console.log(
        `${name.padEnd(12)} is LEFT OUT: ${name.startsWith('ours') ? 'not of this processor' : 'see TACO_PYTHON'}`,
      );
      continue;
    }
    const ratio = (what: keyof UpdateTime): string => (figure(side, what) / figure(0, what)).toFixed(2);
    const [wallMs, processorMs] = [figure(side, 'wallMs'), figure(side, 'processorMs')];
    console.log(
      `${name.padEnd(12)} ${wallMs.toFixed(0)} ms an update, ${processorMs.toFixed(0)} ms of processors; ` +
        `${ratio('wallMs')} times ${sides[0]!.name} (${ratio('processorMs')} by processor time)`,
    );
  }
  const isSlow = trainer !== undefined && figure(2, 'wallMs') < EXPECTED_RATIO * figure(0, 'wallMs');
  if (isSlow && !isQuick) process.exitCode = 1;
} finally {
  await trainer?.stop();
  await rm(folder, { recursive: true, force: true });
}
