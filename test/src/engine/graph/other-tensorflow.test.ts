import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Graph } from '../../../../src/engine/graph/graph.ts';
import { type ProtocolBuffers, serialize } from '../../../../src/engine/graph/saved-model.ts';
import { traceStep } from '../../../../src/engine/graph/trace-step.ts';
import { addGroup } from '../../../../src/engine/graph/variable-groups.ts';
import type { FeedValues, Program } from '../../../../src/engine/index.ts';
import { createProgram, openBackend } from '../../../../src/engine/index.ts';
import { findNativeTensorFlow } from '../../../../src/engine/native.ts';
import { modelPreset } from '../../../../src/model/config.ts';
import { initialValues } from '../../../../src/model/init.ts';
import { type ParameterSpec, parameterSpecs } from '../../../../src/model/parameters.ts';
import type { SessionOptions } from '../../../../src/train/session-types.ts';
import { stepFeeds } from '../../../../src/train/step-input.ts';
import { Steps } from '../../../../src/train/steps.ts';
import { VARIABLES, variableSpecs } from '../../../../src/train/variables.ts';
import { hasTensorFlow } from '../../../support/backends.ts';
import { temporaryFolder } from '../../../support/folders.ts';
import { findPython } from '../../../support/python.ts';
import { readTorchFixture, toBatch } from '../../../support/torch-fixture.ts';

const fixture = readTorchFixture();
const options: SessionOptions = {
  model: modelPreset('tiny', { vocabSize: fixture.model.vocabSize, hiddenSize: 32, intermediateSize: 64 }),
  seed: 3,
  objective: { mode: 'taco', temperature: fixture.temperature, tcWeight: fixture.tcWeight },
  optimizer: { weightDecay: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
};
const specs = parameterSpecs(options.model);
const kinds = ['parameter', 'firstMoment', 'secondMoment'] as const;
const NUM_UPDATES = 3;

const batch = stepFeeds(toBatch(fixture, fixture.curveBatches[0]!), true, {
  dropout: { seed: 1, step: 0, microBatch: 0 },
});
const scalars = { share: 1, unscale: 1, earlierLoss: 0, stepSize: 1e-3, epsilon: 1e-8, keep: 1 };
const feeds: Readonly<Record<string, FeedValues>> = {
  ...batch.values,
  ...Object.fromEntries(Object.entries(scalars).map(([name, value]) => [name, Float32Array.of(value)])),
};

function initial(spec: ParameterSpec): Float32Array {
  return initialValues(spec, options.model, options.seed);
}

/** Losses, norm and whether it was applied, of each update, by this project's own engine. */
function updates(): number[][] {
  const program = createProgram();
  try {
    for (const kind of kinds) program.declare(variableSpecs(specs, kind));
    const byName = new Map(specs.map((spec) => [VARIABLES.parameter + spec.key, spec]));
    program.write([...byName.keys()], (name) => initial(byName.get(name)!));
    const step = new Steps(program, options, specs).train('only', batch);
    return Array.from({ length: NUM_UPDATES }, () =>
      Object.values(step(feeds)).flatMap((values) => [...values]),
    );
  } finally {
    program.dispose();
  }
}

/** Writes the graph of the training step, and how to run it, into a folder. */
function writeGraph(folder: string): void {
  const graph = new Graph();
  const groups = kinds.map((kind) => addGroup(graph, variableSpecs(specs, kind)));
  const variables = groups.flatMap((group) => group.variables);
  const call: Record<string, unknown> = { count: NUM_UPDATES };
  const capture: Pick<Program, 'compile'> = {
    compile: (step, signature) => {
      const traced = traceStep(step, signature, { graph, productType: 'float32', variables });
      const fed = Array.from(traced.feeds, ([name, node]) => {
        const values = feeds[name]!;
        const { dtype, shape } = signature.feeds[name as keyof typeof signature.feeds];
        return [node, [dtype, shape.map((size) => (typeof size === 'number' ? size : -1)), [...values]]];
      });
      call.feeds = Object.fromEntries(fed);
      call.outputs = [...traced.outputs.values()];
      return () => {
        throw new Error('it runs in Python');
      };
    },
  };
  new Steps(capture as Program, options, specs).train('only', batch);
  call.writes = groups.map((group, g) => ({
    node: group.write,
    feeds: Object.fromEntries(
      specs.map((spec, i) => {
        const values = g === 0 ? [...initial(spec)] : Array.from({ length: initial(spec).length }, () => 0);
        return [group.feeds[i]!, ['float32', spec.shape, values]] as const;
      }),
    ),
  }));
  const { packageFolder } = findNativeTensorFlow().candidates[0]!;
  const protocol = createRequire(join(packageFolder, 'package.json'))(
    './dist/proto/api_pb.js',
  ) as ProtocolBuffers;
  writeFileSync(join(folder, 'saved_model.pb'), serialize(protocol, graph.nodes));
  writeFileSync(join(folder, 'call.json'), JSON.stringify(call));
}

const python = hasTensorFlow ? findPython(['tensorflow', 'numpy']) : undefined;
it.skipIf(python === undefined)(
  `the graph of a training step runs in another TensorFlow (skipped without one in Python)`,
  { timeout: 120_000 },
  async () => {
    await openBackend('tensorflow');
    const expected = updates();
    const folder = await temporaryFolder();
    writeGraph(folder);
    const script = join(import.meta.dirname, 'run-graph.py');
    const { stdout, stderr } = spawnSync(python!, [script, folder], { encoding: 'utf8' });
    expect(stdout, stderr).not.toBe('');
    const { version, values } = JSON.parse(stdout) as { version: string; values: number[][][] };
    console.log(`ran in TensorFlow ${version}`);
    expect(values).toHaveLength(NUM_UPDATES);
    for (const [update, outputs] of values.entries()) {
      const numbers = outputs.flat();
      expect(numbers).toHaveLength(7);
      for (const [i, value] of numbers.entries()) {
        const ours = expected[update]![i]!;
        const tolerance = 1e-4 * Math.max(1, Math.abs(ours));
        expect(Math.abs(value - ours), `update ${update}, number ${i}`).toBeLessThan(tolerance);
      }
    }
  },
);
