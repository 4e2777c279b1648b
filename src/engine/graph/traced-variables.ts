import * as tf from '@tensorflow/tfjs-core';
import type { Signature } from '../program.ts';
import type { Graph } from './graph.ts';
import type { InPlaceUpdate } from './in-place.ts';
import { traceBackend } from './trace-backend.ts';
import { TraceError } from './trace-error.ts';

/** A variable in the graph. */
export interface GraphVariable {
  readonly name: string;
  readonly shape: readonly number[];
  /** Its VarHandleOp. */
  readonly handle: string;
}

interface Assignment {
  readonly variable: GraphVariable;
  /** Shares its data with what was assigned. */
  readonly value: tf.Tensor;
  /** bool scalar; undefined: always. */
  readonly condition: string | undefined;
}

const FLOAT = { dtype: { type: 'float32' } } as const;
const BOOL = { T: { type: 'bool' } } as const;
let numTraces = 0;

/** The variables as a traced step sees them: reading is a node, assigning is noted down until the step is over. */
export class TracedVariables {
  readonly byName: ReadonlyMap<string, tf.Variable>;
  readonly #graph: Graph;
  readonly #signature: Signature;
  readonly #reads = new Map<string, string>();
  readonly #assignments = new Map<string, Assignment>();
  #condition: string | undefined;

  constructor(graph: Graph, variables: readonly GraphVariable[], signature: Signature) {
    this.#graph = graph;
    this.#signature = signature;
    numTraces += 1;
    this.byName = new Map(variables.map((variable) => [variable.name, this.#trace(variable)]));
  }

  /** Assignments made during `update` happen only if the condition holds. */
  when(condition: tf.Tensor, update: () => void): void {
    if (this.#condition !== undefined) throw new TraceError('when', 'a condition within a condition');
    this.#condition = scalarOf(this.#graph, condition);
    try {
      update();
    } finally {
      this.#condition = undefined;
    }
  }

  /** @returns edges of control after which all assignments are made, or skipped by their conditions */
  emitUpdates(): readonly string[] {
    const assignments = [...this.#assignments.values()];
    const conditions = new Set(assignments.map(({ condition }) => condition));
    return [...conditions].flatMap((condition) => {
      const here = assignments.filter((assignment) => assignment.condition === condition);
      return condition === undefined ? this.#emit(here, []) : [this.#emitIf(condition, here)];
    });
  }

  dispose(): void {
    for (const variable of this.byName.values()) variable.dispose();
  }

  #trace(variable: GraphVariable): tf.Variable {
    const { name, shape, handle } = variable;
    const read = this.#graph.effect(
      'ReadVariableOp',
      [handle],
      FLOAT,
      `${this.#signature.name}/read/${name}`,
    );
    this.#reads.set(name, read);
    const symbol = traceBackend.hold({ reference: read, shape, dtype: 'float32' });
    const tensor = tf.engine().makeTensorFromTensorInfo(symbol);
    const traced = tf.variable(tensor, true, `trace${numTraces}/${name}`);
    const assign = traced.assign.bind(traced);
    traced.assign = (value: tf.Tensor) => {
      this.#check(variable, value);
      assign(value);
      this.#assignments.set(name, { variable, value: traced, condition: this.#condition });
    };
    return traced;
  }

  #check({ name, handle }: GraphVariable, value: tf.Tensor): void {
    const { name: step, updates } = this.#signature;
    if (!updates.includes(name)) {
      throw new TraceError('assign', `the variable "${name}" is not among the updates of the step ${step}`);
    }
    if (this.#assignments.has(name)) {
      throw new TraceError('assign', `the variable "${name}" is assigned twice`);
    }
    if (traceBackend.updateOf(value)?.handles.includes(handle) === false) {
      throw new TraceError('assign', `the variable "${name}" got the update in place of another one`);
    }
  }

  /** What hangs on the true side of a Switch runs only if the condition holds; Merge goes on either way. */
  #emitIf(condition: string, assignments: readonly Assignment[]): string {
    const branch = this.#graph.effect('Switch', [condition, condition], BOOL);
    const pivot = this.#graph.effect('Identity', [`${branch}:1`], BOOL);
    const done = this.#emit(assignments, [`^${pivot}`]);
    const made = this.#graph.effect('Identity', [`${branch}:1`, ...done], BOOL);
    return `^${this.#graph.effect('Merge', [branch, made], { ...BOOL, N: { int: 2 } })}`;
  }

  #emit(assignments: readonly Assignment[], after: readonly string[]): string[] {
    const inPlace = new Set<InPlaceUpdate>();
    const done: string[] = [];
    for (const { variable, value } of assignments) {
      const update = traceBackend.updateOf(value);
      if (update === undefined) done.push(`^${this.#assign(variable, value, after)}`);
      else inPlace.add(update);
    }
    for (const update of inPlace) done.push(...update.emit(after).map((node) => `^${node}`));
    return done;
  }

  #assign({ name, handle, shape }: GraphVariable, value: tf.Tensor, after: readonly string[]): string {
    const read = this.#reads.get(name)!;
    const symbol = traceBackend.symbolOf(value);
    const producer = this.#graph.producerOf(symbol.reference);
    const waits = [...after, `^${read}`];
    if (producer?.op === 'AddV2' && producer.inputs.includes(read)) {
      const [a, b] = producer.inputs as [string, string];
      return this.#graph.effect('AssignAddVariableOp', [handle, a === read ? b : a, ...waits], FLOAT);
    }
    const reshaped =
      symbol.shape.join() === shape.join()
        ? symbol.reference
        : this.#graph.node('Reshape', [symbol.reference, this.#graph.ints(shape)], {
            T: { type: 'float32' },
            Tshape: { type: 'int32' },
          });
    return this.#graph.effect('AssignVariableOp', [handle, reshaped, ...waits], FLOAT);
  }
}

/** A tensor of one element as a scalar. */
function scalarOf(graph: Graph, tensor: tf.Tensor): string {
  const { reference, shape, dtype } = traceBackend.symbolOf(tensor);
  if (shape.length === 0) return reference;
  return graph.node('Reshape', [reference, graph.ints([])], {
    T: { type: dtype },
    Tshape: { type: 'int32' },
  });
}
