/**
 * How long a checkpoint keeps training waiting: `npm run bench:checkpoint -- --model small --backend tensorflow`.
 * Weights and moments are read from the backend, hashed and written with fsync; then all metrics are read and drawn.
 */
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { choiceFlag, wholeFlag } from '../../src/cli/command.ts';
import { openBackend } from '../../src/engine/index.ts';
import { modelPreset } from '../../src/model/config.ts';
import { lossPlot } from '../../src/report/loss-plot.ts';
import { verifyCheckpoint, writeCheckpoint } from '../../src/train/checkpoint.ts';
import { readMetrics } from '../../src/train/metrics.ts';
import { TrainingSession } from '../../src/train/session.ts';
import { hasTensorFlow } from '../support/backends.ts';
import { contentAt } from '../support/checkpoints.ts';
import { updateLine } from '../support/metrics-lines.ts';
import { scriptArguments } from '../support/script.ts';

const { flags } = scriptArguments({
  usage: 'npm run bench:checkpoint --',
  summary: 'How long a checkpoint keeps training waiting.',
  flags: {
    model: { type: 'string', help: 'shape of the model (default: small)' },
    backend: {
      type: 'string',
      placeholder: 'tensorflow|wasm',
      help: 'default: tensorflow where it is there',
    },
    updates: { type: 'number', help: 'updates whose lines are in the metrics already (default: 250000)' },
    interval: { type: 'number', help: 'updates from one checkpoint to the next (default: 2500)' },
  },
});
const model = flags.model ?? 'small';
const updates = wholeFlag('updates', flags.updates ?? 250_000, 1);
const backend = choiceFlag('backend', flags.backend ?? (hasTensorFlow ? 'tensorflow' : 'wasm'), [
  'tensorflow',
  'wasm',
]);
const interval = wholeFlag('interval', flags.interval ?? 2500, 1);

async function timed<T>(name: string, work: () => T | Promise<T>): Promise<{ result: T; ms: number }> {
  const begun = performance.now();
  const processor = process.cpuUsage();
  const result = await work();
  const ms = performance.now() - begun;
  const { user, system } = process.cpuUsage(processor);
  const processorSeconds = ((user + system) / 1e6).toFixed(2);
  console.log(
    `${name.padEnd(44)} ${(ms / 1000).toFixed(2).padStart(6)} s, ${processorSeconds} s of the processor`,
  );
  return { result, ms };
}

await openBackend(backend);
const session = new TrainingSession({
  model: modelPreset(model),
  seed: 1,
  objective: { mode: 'mlm' },
  optimizer: { weightDecay: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
});
const folder = await mkdtemp(join(tmpdir(), 'taco-checkpoint-'));
try {
  for (const step of [1, 2, 3]) {
    console.log(`BERT-${model} on ${backend}, checkpoint ${step}`);
    const read = await timed('  read from the backend', () => session.exportState());
    const content = { ...contentAt(step), tensors: read.result };
    const written = await timed('  hash, write, sync', () => writeCheckpoint(folder, content));
    const sizes = ['model', 'optimizer'].map((name) => stat(join(written.result, `${name}.safetensors`)));
    const bytes = (await Promise.all(sizes)).reduce((sum, { size }) => sum + size, 0);
    const metrics = join(folder, 'metrics.jsonl');
    const lines = Array.from({ length: updates }, (_, at) => JSON.stringify(updateLine(at + 1)));
    await writeFile(metrics, `${lines.join('\n')}\n`);
    const drawn = await timed(`  read and draw ${updates} lines of metrics`, async () =>
      lossPlot(await readMetrics(metrics), { title: '', vocabSize: 30522, numNegatives: undefined }),
    );
    const stall = read.ms + written.ms + drawn.ms;
    console.log(
      `  ${Math.round(bytes / 1e6)} MB; ${(stall / 1000).toFixed(2)} s without training: less than 5 % at every ` +
        `${interval} updates that take more than ${(stall / interval / 0.05).toFixed(0)} ms each`,
    );
    await timed('  (verify, when a run goes on)', () => verifyCheckpoint(written.result));
  }
} finally {
  session.dispose();
  await rm(folder, { recursive: true, force: true });
}
