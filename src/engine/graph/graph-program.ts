import * as tf from '@tensorflow/tfjs-core';
import {
  type CompiledStep,
  type FeedValues,
  type Program,
  type Signature,
  type Step,
  shapeOfFeed,
  type VariableSpec,
} from '../program.ts';
import { type DType, Graph } from './graph.ts';
import { collectGarbage } from './garbage.ts';
import { NativeSession } from './native-session.ts';
import { registerGraphBackend } from './register.ts';
import type { ProtocolBuffers } from './saved-model.ts';
import { type TracedStep, traceStep } from './trace-step.ts';
import { addGroup, groupsOf, type VariableGroup } from './variable-groups.ts';

export interface GraphProgramOptions {
  /** Protocol buffers of the tfjs-node package in use. */
  readonly protocol: ProtocolBuffers;
  /** Type in which matrix products are computed; everything else, the variables too, is float32. */
  readonly productType: DType;
}

/**
 * A program whose steps are traced to one TensorFlow graph. When steps or variables were added, the session is made
 * anew with the larger graph before the next call, and the variables move over.
 */
export class GraphProgram implements Program {
  readonly #options: GraphProgramOptions;
  readonly #graph = new Graph();
  readonly #groups: VariableGroup[] = [];
  readonly #steps = new Map<string, CompiledStep<string, string>>();
  #session: NativeSession | undefined;
  /** Nodes, and groups of variables, that the session knows. */
  #numNodes = 0;
  #numGroups = 0;

  constructor(options: GraphProgramOptions) {
    this.#options = options;
    registerGraphBackend();
  }

  declare(specs: readonly VariableSpec[]): void {
    for (const group of groupsOf(specs)) this.#groups.push(addGroup(this.#graph, group));
  }

  compile<Feed extends string, Output extends string>(
    step: Step<Feed, Output>,
    signature: Signature<Feed>,
  ): CompiledStep<Feed, Output> {
    const known = this.#steps.get(signature.name);
    if (known !== undefined) return known;
    const options = {
      graph: this.#graph,
      productType: this.#options.productType,
      variables: this.#groups.flatMap(({ variables }) => variables),
    };
    const traced = this.#graph.whole(() => traceStep(step, signature, options));
    const compiled: CompiledStep<Feed, Output> = (feeds) => this.#run(signature, traced, feeds);
    this.#steps.set(signature.name, compiled);
    return compiled;
  }

  *read(names: readonly string[]): Iterable<readonly [string, Float32Array<ArrayBuffer>]> {
    const wanted = new Set(names);
    for (const { variables, reads } of this.#groups) {
      if (!variables.some(({ name }) => wanted.has(name))) continue;
      const tensors = this.#current().run([], reads);
      const values = tensors.map((tensor, i) =>
        wanted.has(variables[i]!.name) ? new Float32Array(tensor.dataSync<'float32'>()) : undefined,
      );
      tf.dispose(tensors);
      for (const [i, { name }] of variables.entries()) {
        const read = values[i];
        if (read !== undefined) yield [name, read];
      }
    }
  }

  write(names: readonly string[], valuesOf: (name: string) => Float32Array): void {
    const wanted = new Set(names);
    const known = new Set(this.#groups.flatMap(({ variables }) => variables.map(({ name }) => name)));
    const unknown = names.find((name) => !known.has(name));
    if (unknown !== undefined) throw new RangeError(`the program has no variable "${unknown}"`);
    for (const group of this.#groups) {
      const { variables, reads } = group;
      const isGiven = variables.map(({ name }) => wanted.has(name));
      if (!isGiven.includes(true)) continue;
      const session = this.#current();
      const before = isGiven.includes(false) ? session.run([], reads) : [];
      const values = variables.map(({ name, shape }, i) =>
        isGiven[i] === true ? tf.tensor(valuesOf(name), [...shape]) : before[i]!,
      );
      writeGroup(session, group, values);
      tf.dispose([...before, ...values]);
    }
  }

  dispose(): void {
    this.#session?.dispose();
    this.#session = undefined;
    this.#steps.clear();
  }

  /** The session with all that was declared and traced. */
  #current(): NativeSession {
    const before = this.#session;
    if (before !== undefined && this.#numNodes === this.#graph.nodes.length) return before;
    collectGarbage();
    const session = new NativeSession(this.#options.protocol, this.#graph.nodes);
    for (const [i, group] of this.#groups.entries()) {
      if (before !== undefined && i < this.#numGroups) {
        const values = before.run([], group.reads);
        writeGroup(session, group, values);
        tf.dispose(values);
      } else {
        tf.dispose(session.run([], [group.clear]));
      }
    }
    before?.dispose();
    this.#session = session;
    this.#numNodes = this.#graph.nodes.length;
    this.#numGroups = this.#groups.length;
    return session;
  }

  #run<Feed extends string, Output extends string>(
    signature: Signature<Feed>,
    { feeds, outputs }: TracedStep,
    values: Readonly<Record<Feed, FeedValues>>,
  ): Readonly<Record<Output, FeedValues>> {
    const session = this.#current();
    const fed = Array.from(feeds, ([name, node]) => {
      const given = values[name as Feed];
      const spec = signature.feeds[name as Feed];
      return { name: node, tensor: tf.tensor(given, shapeOfFeed(name, spec, given), spec.dtype) };
    });
    const fetched = session.run(fed, [...outputs.values()]);
    const results = Array.from(outputs.keys(), (name, i) => [
      name,
      fetched[i]!.dataSync<'float32'>().slice(),
    ]);
    tf.dispose([...fed.map(({ tensor }) => tensor), ...fetched]);
    return Object.fromEntries(results) as Readonly<Record<Output, FeedValues>>;
  }
}

/** Gives a group its values. */
function writeGroup(
  session: NativeSession,
  { feeds, write }: VariableGroup,
  values: readonly tf.Tensor[],
): void {
  const fed = feeds.map((name, i) => ({ name, tensor: values[i]! }));
  tf.dispose(session.run(fed, [write]));
}
