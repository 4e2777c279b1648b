import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { Graph } from '../../../../src/engine/graph/graph.ts';
import { registerGraphBackend } from '../../../../src/engine/graph/register.ts';
import { traceStep } from '../../../../src/engine/graph/trace-step.ts';
import { openBackend } from '../../../../src/engine/index.ts';
import { KERNELS, runKernel } from '../../../../src/ops/kernel.ts';

/** Nodes of the comparison of 100 anchors of width 512 with their negatives. */
async function nodesOf(numNegatives: number, productType: 'float32' | 'bfloat16' = 'float32') {
  // Some backend has to be in use; nothing is computed on it.
  await openBackend('wasm');
  registerGraphBackend();
  const graph = new Graph();
  const indices = { dtype: 'int32', shape: [100] } as const;
  traceStep(
    ({ feeds }) => {
      const outputs = runKernel(KERNELS.contrast, feeds, { inverseTemperature: 10 });
      return { losses: outputs[0]!, hits: outputs[1]!, toUnit: outputs[2]! };
    },
    {
      name: 'contrast',
      feeds: {
        unit: { dtype: 'float32', shape: [100, 512] },
        anchors: indices,
        positives: indices,
        negatives: { dtype: 'int32', shape: [100, numNegatives] },
      },
      updates: [],
    },
    { graph, productType, variables: [] },
  );
  return graph.nodes;
}

it('gathers the negatives of a chunk of anchors when the chunk before is done', async () => {
  // 8 MiB are 40 anchors of 100 negatives.
  const nodes = await nodesOf(100);
  const gathers = nodes.filter(({ op, inputs }) => op === 'GatherV2' && /SplitV/.test(inputs[1]!));
  const products = nodes.filter(({ op }) => op === 'BatchMatMulV2');
  expect(gathers).toHaveLength(3);
  expect(products).toHaveLength(6);
  const waits = gathers.map(({ inputs }) => inputs.filter((input) => input.startsWith('^')));
  expect(waits).toEqual([[], [`^${products[1]!.name}`], [`^${products[3]!.name}`]]);
});

it('compares in float32 whatever the type of products', async () => {
  expect(await nodesOf(3, 'bfloat16')).toEqual(await nodesOf(3));
  expect(tf.getBackend()).toBe('wasm');
});
