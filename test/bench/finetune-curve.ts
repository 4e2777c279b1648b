/**
 * The loss curve of 30 updates on the real RTE against PyTorch: the same weights, the same order, no dropout.
 *
 *     npx tsx test/bench/finetune-curve.ts [--data nyu-mll/glue] [--backend auto]
 *
 * As the committed curves of test/fixtures/finetune, whose rows are made up because RTE's may not be kept there. Python
 * with torch, transformers and safetensors is looked for on the path and in TACO_PYTHON. Exits with 1 when a loss differs by
 * more than 0.1 %.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hubFromEnvironment } from '../../pipeline/index.ts';
import { finetuneFlags } from '../../src/cli/finetune-flags.ts';
import { backendOf } from '../../src/cli/model-flags.ts';
import { openBackend } from '../../src/engine/index.ts';
import { GLUE_REPOSITORY, glueTask, openGlue } from '../../src/glue/index.ts';
import { curveBatches, curveSession, curveUpdates, writeCurveInputs } from '../support/finetune-curve.ts';
import { requirePython } from '../support/python.ts';
import { scriptArguments } from '../support/script.ts';

const TOLERANCE = 1e-3;

const { flags } = scriptArguments({
  usage: 'npx tsx test/bench/finetune-curve.ts',
  summary: 'The loss curve of 30 updates on the real RTE against PyTorch.',
  flags: {
    data: finetuneFlags.data,
    backend: finetuneFlags.backend,
  },
});
const python = requirePython(['torch', 'transformers', 'safetensors']);
const backend = await openBackend(backendOf(flags.backend));
const task = glueTask('rte');
const data = await openGlue(flags.data ?? GLUE_REPOSITORY, hubFromEnvironment(process.env));
const batches = curveBatches('classes', await data.read(task, task.train));
const folder = await mkdtemp(join(tmpdir(), 'taco-curve-'));
try {
  await writeCurveInputs(folder, new Map([['classes', batches]]));
  const script = join(import.meta.dirname, '../fixtures/finetune/make.py');
  const output = join(folder, 'curves.json');
  const { status } = spawnSync(python, [script, folder, output], { stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0) throw new Error(`${script} ended with ${status}`);
  const { curves } = JSON.parse(await readFile(output, 'utf8')) as {
    readonly curves: { readonly classes: readonly { readonly loss: number }[] };
  };
  const session = curveSession('classes');
  let largest = 0;
  let step = 0;
  for (const { loss } of curveUpdates(session, batches)) {
    largest = Math.max(largest, Math.abs(loss / curves.classes[step]!.loss - 1));
    step += 1;
  }
  session.dispose();
  console.log(
    `${data.identity}, ${backend.name}: ${step} losses, differing from PyTorch's by ${largest.toExponential(1)} at most`,
  );
  if (!(largest < TOLERANCE)) process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
