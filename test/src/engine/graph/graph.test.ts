import { describe, expect, it } from 'vitest';
import { Graph, MAX_CONSTANT_BYTES } from '../../../../src/engine/graph/graph.ts';
import { TraceError } from '../../../../src/engine/graph/trace-error.ts';
import { isVarying, MAX_VARYING, varyingSize, wireShape } from '../../../../src/engine/graph/varying.ts';

const T = { T: { type: 'float32' } } as const;

describe('Graph', () => {
  it('makes the same operation on the same inputs once', () => {
    const graph = new Graph();
    const one = graph.float(1);
    const sum = graph.node('AddV2', [one, graph.float(2)], T);
    expect(graph.node('AddV2', [graph.float(1), graph.float(2)], T)).toBe(sum);
    expect(graph.nodes.map(({ op }) => op)).toEqual(['Const', 'Const', 'AddV2']);
    expect(graph.node('AddV2', [graph.float(2), one], T)).not.toBe(sum);
    expect(graph.node('Sub', [one, graph.float(2)], T)).not.toBe(sum);
    expect(graph.float(-0)).not.toBe(graph.float(0));
  });

  it('makes effects anew each time, under their names', () => {
    const graph = new Graph();
    const attributes = { dtype: { type: 'float32' } } as const;
    expect(graph.effect('ReadVariableOp', ['x'], attributes)).not.toBe(
      graph.effect('ReadVariableOp', ['x'], attributes),
    );
    expect(graph.effect('Identity', ['x'], T, 'out')).toBe('out');
    expect(() => graph.effect('Identity', ['x'], T, 'out')).toThrow('has a node "out" already');
  });

  it('takes back a widening cast, and no narrowing one', () => {
    const graph = new Graph();
    const low = graph.effect('Placeholder', [], { dtype: { type: 'bfloat16' } });
    const wide = graph.cast(low, 'bfloat16', 'float32');
    expect(graph.cast(wide, 'float32', 'bfloat16')).toBe(low);
    expect(graph.cast(wide, 'float32', 'float32')).toBe(wide);
    const full = graph.effect('Placeholder', [], { dtype: { type: 'float32' } });
    const narrowed = graph.cast(full, 'float32', 'bfloat16');
    expect(graph.cast(narrowed, 'bfloat16', 'float32')).not.toBe(full);
  });

  it('takes back what was added before an error', () => {
    const graph = new Graph();
    graph.effect('Placeholder', [], {}, 'x');
    expect(() =>
      graph.whole(() => {
        graph.effect('Placeholder', [], {}, 'y');
        graph.float(1);
        throw new Error('no');
      }),
    ).toThrow('no');
    expect(graph.nodes.map(({ name }) => name)).toEqual(['x']);
    graph.effect('Placeholder', [], {}, 'y');
    expect(graph.producerOf(graph.float(1))?.op).toBe('Const');
    expect(graph.whole(() => graph.float(2))).toBe(graph.float(2));
  });

  it('refuses constants above the limit, and says what to do', () => {
    const graph = new Graph();
    const largest = MAX_CONSTANT_BYTES / 4;
    expect(graph.constant(new Float32Array(largest), [largest], 'float32')).toBeTypeOf('string');
    expect(() => graph.constant(new Float32Array(largest + 1), [largest + 1], 'float32')).toThrow(
      /a constant float32 \[1025\] of 4100 bytes would be frozen into the graph, expected at most 4096: make it a feed/,
    );
  });

  it('refuses a shape that varies where the operation does not work it out', () => {
    const graph = new Graph();
    const size = varyingSize(0);
    expect(() => graph.shape('Fill', [size, 2])).toThrow(TraceError);
    expect(graph.nodes).toHaveLength(0);
    graph.shape('Reshape', [size, 2], 1);
    expect(graph.nodes[0]?.attributes.value).toMatchObject({ tensor: { values: Int32Array.of(-1, 2) } });
  });
});

describe('varying sizes', () => {
  it('are told apart, also as multiples, and are unknown in the graph', () => {
    const sizes = Array.from({ length: MAX_VARYING }, (_, index) => varyingSize(index));
    expect(new Set(sizes).size).toBe(MAX_VARYING);
    expect(sizes.every((size) => isVarying(size) && isVarying(512 * size))).toBe(true);
    expect([0, 1, 2048, 30522, 15_627_264].some(isVarying)).toBe(false);
    expect(wireShape([8, 3 * sizes[1]!])).toEqual([8, -1]);
    expect(() => varyingSize(MAX_VARYING)).toThrow('expected at most 4');
  });
});
