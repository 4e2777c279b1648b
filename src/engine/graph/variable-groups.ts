import type { VariableSpec } from '../program.ts';
import type { Graph } from './graph.ts';
import type { GraphVariable } from './traced-variables.ts';

/** Variables that are read and written together: done one by one, each would keep an executor of its own. */
export interface VariableGroup {
  readonly variables: readonly GraphVariable[];
  /** Node that reads each. */
  readonly reads: readonly string[];
  /** Placeholder of each one's new value. */
  readonly feeds: readonly string[];
  /** Fetched, it gives all of them the values fed. */
  readonly write: string;
  /** Fetched, it makes all of them zero. */
  readonly clear: string;
}

/** Values that exist beside the variables while a group is read or written. */
const GROUP_BYTES = 64 * 2 ** 20;

const DTYPE = { dtype: { type: 'float32' } } as const;
const T = { T: { type: 'float32' } } as const;

/** Parts variables into groups of some size, in their order. */
export function groupsOf(specs: readonly VariableSpec[]): readonly (readonly VariableSpec[])[] {
  const groups: VariableSpec[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const spec of specs) {
    const size = 4 * spec.shape.reduce((product, length) => product * length, 1);
    if (bytes + size > GROUP_BYTES) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)!.push(spec);
    bytes += size;
  }
  return groups;
}

/** Adds variables to a graph, with what reads, writes and clears them. */
export function addGroup(graph: Graph, specs: readonly VariableSpec[]): VariableGroup {
  const variables = specs.map(({ name, shape }) => {
    const names = { shared_name: { text: name }, container: { text: '' } };
    const attributes = { ...DTYPE, shape: { shape }, ...names };
    return { name, shape, handle: graph.effect('VarHandleOp', [], attributes, `variable/${name}`) };
  });
  const feeds = variables.map(({ name, shape }) =>
    graph.effect('Placeholder', [], { ...DTYPE, shape: { shape } }, `write/${name}`),
  );
  // Copies: what is fed belongs to JavaScript, and would otherwise become the variable's own memory.
  const writes = variables.map(({ handle }, i) =>
    graph.effect('AssignVariableOp', [handle, graph.node('DeepCopy', [feeds[i]!], T)], DTYPE),
  );
  const clears = variables.map(({ handle, shape }) => {
    const zeros = graph.node('Fill', [graph.ints(shape), graph.float(0)], {
      ...T,
      index_type: { type: 'int32' },
    });
    return graph.effect('AssignVariableOp', [handle, zeros], DTYPE);
  });
  const allOf = (nodes: readonly string[]): string =>
    graph.effect('Identity', [graph.float(0), ...nodes.map((node) => `^${node}`)], T);
  return {
    variables,
    reads: variables.map(({ name, handle }) =>
      graph.effect('ReadVariableOp', [handle], DTYPE, `read/${name}`),
    ),
    feeds,
    write: allOf(writes),
    clear: allOf(clears),
  };
}
