import * as tf from '@tensorflow/tfjs-core';
import type { FeedSpec, Signature, Step } from '../program.ts';
import type { DType, Graph } from './graph.ts';
import { traceBackend } from './trace-backend.ts';
import { type GraphVariable, TracedVariables } from './traced-variables.ts';
import { isVarying, varyingSize } from './varying.ts';

/** A step as nodes of a graph. */
export interface TracedStep {
  /** Placeholder of each feed. */
  readonly feeds: ReadonlyMap<string, string>;
  /** Node of each output; fetching any of them makes the updates too. */
  readonly outputs: ReadonlyMap<string, string>;
}

export interface TraceStepOptions {
  readonly graph: Graph;
  readonly productType: DType;
  readonly variables: readonly GraphVariable[];
}

/**
 * Runs a step once on symbols and appends what it does to a graph.
 * @throws TraceError when the step does what a graph cannot: it reads a value, holds a large constant, uses an unknown
 *   kernel or a tensor of elsewhere, or assigns a variable that its signature does not list
 */
export function traceStep<Feed extends string, Output extends string>(
  step: Step<Feed, Output>,
  signature: Signature<Feed>,
  { graph, productType, variables }: TraceStepOptions,
): TracedStep {
  const varyingSizes = new Map<number, string>();
  return traceBackend.during({ graph, productType, varyingSizes }, () => {
    const feeds = placeholders(graph, signature);
    for (const { node, sizes } of feeds.values()) {
      for (const [axis, size] of sizes.entries()) {
        if (isVarying(size) && !varyingSizes.has(size)) varyingSizes.set(size, sizeNode(graph, node, axis));
      }
    }
    const traced = new TracedVariables(graph, variables, signature);
    try {
      const tensors = Array.from(feeds, ([name, { tensor }]) => [name, tensor] as const);
      const outputs = step({
        feeds: Object.fromEntries(tensors) as Readonly<Record<Feed, tf.Tensor>>,
        variables: traced.byName,
        when: (condition, update) => {
          traced.when(condition, update);
        },
      });
      const after = traced.emitUpdates();
      const named = Object.entries<tf.Tensor>(outputs).map(([name, tensor]) => {
        const { reference, dtype } = traceBackend.symbolOf(tensor);
        const attributes = { T: { type: dtype } };
        return [
          name,
          graph.effect('Identity', [reference, ...after], attributes, `${signature.name}/${name}`),
        ] as const;
      });
      return {
        feeds: new Map(Array.from(feeds, ([name, { node }]) => [name, node])),
        outputs: new Map(named),
      };
    } finally {
      traced.dispose();
    }
  });
}

function placeholders(graph: Graph, { name: step, feeds }: Signature) {
  const varying: string[] = [];
  return new Map(
    Object.entries<FeedSpec>(feeds).map(([name, { shape, dtype }]) => {
      const sizes = shape.map((size) => {
        if (typeof size === 'number') return size;
        if (!varying.includes(size)) varying.push(size);
        return varyingSize(varying.indexOf(size));
      });
      const attributes = { dtype: { type: dtype }, shape: { shape: sizes } };
      const node = graph.effect('Placeholder', [], attributes, `${step}/feed/${name}`);
      const info = traceBackend.hold({ reference: node, shape: sizes, dtype });
      return [name, { node, sizes, tensor: tf.engine().makeTensorFromTensorInfo(info) }] as const;
    }),
  );
}

/** The size of a placeholder along an axis, as it is in a call. */
function sizeNode(graph: Graph, placeholder: string, axis: number): string {
  const dtype = graph.producerOf(placeholder)!.attributes.dtype!;
  const shape = graph.node('Shape', [placeholder], { T: dtype, out_type: { type: 'int32' } });
  return graph.node('GatherV2', [shape, graph.int(axis), graph.int(0)], {
    Tparams: { type: 'int32' },
    Tindices: { type: 'int32' },
    Taxis: { type: 'int32' },
    batch_dims: { int: 0 },
  });
}
