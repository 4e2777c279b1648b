import * as tf from '@tensorflow/tfjs-core';
import type { Attributes, DType, Graph } from './graph.ts';
import type { InPlaceUpdate } from './in-place.ts';
import { GRAPH_BACKEND, type GraphSymbol, traceBackend } from './trace-backend.ts';
import { TraceError } from './trace-error.ts';
import { isVarying } from './varying.ts';

/** A call of a kernel while a step is traced: its inputs as references to nodes, and what makes outputs. */
export class GraphCall {
  readonly graph: Graph;
  /** Type in which matrix products are computed. */
  readonly productType: DType;
  readonly #kernelName: string;
  readonly #inputs: Readonly<Record<string, tf.TensorInfo | null | undefined>>;
  readonly #attrs: Readonly<Record<string, unknown>>;

  constructor(
    kernelName: string,
    inputs: Readonly<Record<string, tf.TensorInfo | null | undefined>>,
    attrs: Readonly<Record<string, unknown>>,
  ) {
    const { graph, productType } = traceBackend.trace;
    this.graph = graph;
    this.productType = productType;
    this.#kernelName = kernelName;
    this.#inputs = inputs;
    this.#attrs = attrs;
  }

  input(name: string): tf.TensorInfo {
    const info = this.optionalInput(name);
    if (info === undefined) throw new TypeError(`kernel ${this.#kernelName} got no "${name}"`);
    return info;
  }

  optionalInput(name: string): tf.TensorInfo | undefined {
    return this.#inputs[name] ?? undefined;
  }

  /** Every input of a kernel that takes a list. */
  inputs(): readonly tf.TensorInfo[] {
    return Object.values(this.#inputs).filter((info) => info !== undefined && info !== null);
  }

  attribute(name: string): unknown {
    return this.#attrs[name];
  }

  number(name: string): number {
    const value = this.#attrs[name];
    if (typeof value !== 'number') throw new TypeError(`kernel ${this.#kernelName} got no number "${name}"`);
    return value;
  }

  symbol(info: tf.TensorInfo): GraphSymbol {
    return traceBackend.symbolOf(info);
  }

  /** Reference to a tensor in a shape, by default its own. */
  reference(info: tf.TensorInfo, shape: readonly number[] = info.shape): string {
    const symbol = this.symbol(info);
    if (symbol.shape.join() === shape.join()) return symbol.reference;
    return this.reshape(symbol.reference, shape, symbol.dtype);
  }

  reshape(reference: string, shape: readonly number[], dtype: DType): string {
    return this.graph.node('Reshape', [reference, this.graph.shape('Reshape', shape, 1)], {
      T: { type: dtype },
      Tshape: { type: 'int32' },
    });
  }

  /**
   * A size as it is in a call, a scalar; it may be one that varies.
   * @throws TraceError for a multiple of one that varies
   */
  sizeInCall(size: number): string {
    const varying = traceBackend.trace.varyingSizes.get(size);
    if (varying !== undefined) return varying;
    if (isVarying(size))
      throw new TraceError(this.#kernelName, 'it needs a size computed of one that varies');
    return this.graph.int(size);
  }

  /** A shape as it is in a call, sizes that vary included. @throws TraceError as `sizeInCall` */
  shapeInCall(shape: readonly number[]): string {
    if (!shape.some(isVarying)) return this.graph.ints(shape);
    const sizes = shape.map((size) => this.sizeInCall(size));
    return this.graph.node('Pack', sizes, {
      N: { int: sizes.length },
      T: { type: 'int32' },
      axis: { int: 0 },
    });
  }

  node(op: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.graph.node(op, inputs, attributes);
  }

  /** An element-wise operation on float32. */
  map(op: string, ...inputs: readonly string[]): string {
    return this.graph.node(op, inputs, { T: { type: 'float32' } });
  }

  reduce(
    op: 'Sum' | 'Mean' | 'Max',
    reference: string,
    axes: readonly number[],
    keepDims: boolean,
    dtype: DType = 'float32',
  ): string {
    return this.graph.node(op, [reference, this.graph.ints(axes)], {
      T: { type: dtype },
      Tidx: { type: 'int32' },
      keep_dims: { bool: keepDims },
    });
  }

  transpose(reference: string, permutation: readonly number[], dtype: DType): string {
    return this.graph.node('Transpose', [reference, this.graph.ints(permutation)], {
      T: { type: dtype },
      Tperm: { type: 'int32' },
    });
  }

  /** A tensor of a shape that stands for an output of shape `nodeShape`. */
  output(
    reference: string,
    shape: readonly number[],
    dtype: DType = 'float32',
    nodeShape: readonly number[] = shape,
  ): tf.TensorInfo {
    return traceBackend.hold({ reference, shape: nodeShape, dtype }, shape);
  }

  /** The same tensor in another shape; no node is made. */
  view({ dataId, dtype }: tf.TensorInfo, shape: number[]): tf.TensorInfo {
    traceBackend.incRef(dataId);
    return { dataId, shape, dtype };
  }

  /** What a variable will be after an update in place; it can be assigned to that variable and nothing else. */
  updated(like: tf.TensorInfo, update: InPlaceUpdate): tf.TensorInfo {
    return traceBackend.holdUpdate(like, update);
  }
}

export type GraphKernel = (call: GraphCall) => tf.TensorInfo | tf.TensorInfo[];

/** Registers a kernel for traces. */
export function registerGraphKernel(kernelName: string, kernel: GraphKernel): void {
  tf.registerKernel({
    kernelName,
    backendName: GRAPH_BACKEND,
    kernelFunc: ({ inputs, attrs }) => kernel(new GraphCall(kernelName, inputs, { ...attrs })),
  });
}
