/**
 * What share of its time training waits for data: real steps of a model on real batches from the worker thread.
 *
 *     npx tsx test/bench/train-wait.ts [--data FOLDER] [--model tiny] [--batch-size 16] [--steps 30] [--backend auto]
 *
 * Without --data a dataset of made-up rows of 128 tokens is written to a temporary folder.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { wholeFlag } from '../../src/cli/command.ts';
import { backendFlag } from '../../src/cli/model-flags.ts';
import { resolveConfig } from '../../src/train/config.ts';
import { planRun } from '../../src/train/plan.ts';
import { type RunEvent, train } from '../../src/train/run.ts';
import { scriptArguments } from '../support/script.ts';
import { writeTrainingFiles } from '../support/training.ts';

const { flags } = scriptArguments({
  usage: 'npm run bench:train-wait --',
  summary: 'What share of its time training waits for data.',
  flags: {
    data: { type: 'string', placeholder: 'folder', help: 'a dataset (default: made-up rows of 128 tokens)' },
    model: { type: 'string', placeholder: 'name', help: 'shape of the model (default: tiny)' },
    'batch-size': { type: 'number', help: 'rows per step (default: 16)' },
    'grad-accum': { type: 'number', help: 'steps per update (default: 1)' },
    steps: { type: 'number', help: 'updates, of which the first does not count (default: 30)' },
    backend: backendFlag,
  },
});

const folder = mkdtempSync(join(tmpdir(), 'taco-train-wait-'));
try {
  const data =
    flags.data ??
    (await writeTrainingFiles(folder, { maxSeqLen: 128, rowsPerGroup: 256, train: [8192] })).data;
  const config = resolveConfig({
    flags: {
      data,
      out: join(folder, 'run'),
      model: flags.model ?? 'tiny',
      'batch-size': flags['batch-size'] ?? 16,
      'grad-accum': flags['grad-accum'] ?? 1,
      'max-steps': wholeFlag('steps', flags.steps ?? 30, 2),
      'warmup-steps': 0,
      'eval-steps': 0,
      'save-steps': 0,
      backend: flags.backend ?? 'auto',
    },
  });
  const updates: Extract<RunEvent, { kind: 'update' }>[] = [];
  await train(await planRun(config), {
    resume: undefined,
    signal: new AbortController().signal,
    report: (event) => {
      if (event.kind === 'update') updates.push(event);
      if (event.kind === 'started') console.log(`${event.backend.name} ${event.backend.version}`);
    },
  });
  // The first update waits for the worker to start; that happens once.
  const [first, ...rest] = updates;
  const waitMs = rest.reduce((sum, update) => sum + update.waitMs, 0);
  const stepMs = rest.reduce((sum, update) => sum + update.stepMs, 0);
  const tokens = rest.reduce((sum, update) => sum + update.metrics.numTokens, 0);
  console.log(
    `BERT-${config.model}, ${config.batchSize} × ${config.gradAccum} rows: ${((1000 * tokens) / (stepMs + waitMs)).toFixed(0)} tokens/s over ${rest.length} updates`,
  );
  console.log(`first batch after    ${first?.waitMs.toFixed(0) ?? '–'} ms`);
  console.log(`waiting for data     ${((100 * waitMs) / (stepMs + waitMs)).toFixed(2)} % of the time`);
  console.log(`longest wait         ${Math.max(...rest.map((update) => update.waitMs)).toFixed(1)} ms`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
