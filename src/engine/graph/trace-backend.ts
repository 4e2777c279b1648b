import * as tf from '@tensorflow/tfjs-core';
import type { DType, Graph } from './graph.ts';
import type { InPlaceUpdate } from './in-place.ts';
import { TraceError } from './trace-error.ts';

/** Name of the backend in tfjs. */
export const GRAPH_BACKEND = 'graph';

/** What a tensor of the trace stands for. */
export interface GraphSymbol {
  /** Output of a node. */
  readonly reference: string;
  /** Shape of that output; the tensor may be a reshaped view of it. */
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** The state of one trace. */
export interface Trace {
  readonly graph: Graph;
  /** Type in which matrix products are computed. */
  readonly productType: DType;
  /** Scalar int32 nodes that hold the sizes that vary, by the numbers that stand for them. */
  readonly varyingSizes: Map<number, string>;
}

type Held = { readonly symbol: GraphSymbol } | { readonly update: InPlaceUpdate };

/** Frames of a stack trace that are kept while tracing: tfjs's own frames are many. */
const STACK_FRAMES = 60;

/**
 * tfjs backend that computes nothing: its kernels (kernels-*.ts) append nodes to a graph. Tensors are symbols;
 * reshaping makes a view, and a Reshape node is made only where an operation needs the other shape.
 */
export class TraceBackend extends tf.KernelBackend {
  readonly #held = new WeakMap<tf.DataId, Held>();
  /** Tensors that share each data: tfjs counts its tensors by it. */
  readonly #counts = new WeakMap<tf.DataId, number>();
  #trace: Trace | undefined;

  /** Runs `body` with this backend in use and its nodes going to the trace's graph. */
  during<T>(trace: Trace, body: () => T): T {
    const before = tf.getBackend();
    const frames = Error.stackTraceLimit;
    Error.stackTraceLimit = STACK_FRAMES;
    useBackend(GRAPH_BACKEND);
    this.#trace = trace;
    tf.engine().startScope();
    try {
      return body();
    } catch (error) {
      throw asTraceError(error);
    } finally {
      tf.engine().endScope();
      this.#trace = undefined;
      useBackend(before);
      Error.stackTraceLimit = frames;
    }
  }

  get trace(): Trace {
    if (this.#trace === undefined) throw new Error('no step is being traced');
    return this.#trace;
  }

  /** Data of a tensor that stands for a node's output. */
  hold(symbol: GraphSymbol, shape: readonly number[] = symbol.shape): tf.TensorInfo {
    const dataId = {};
    this.#hold(dataId, { symbol });
    return { dataId, shape: [...shape], dtype: tfjsType(symbol.dtype) };
  }

  /** Data that no operation may read: the result of an update in place. */
  holdUpdate({ shape, dtype }: tf.TensorInfo, update: InPlaceUpdate): tf.TensorInfo {
    const dataId = {};
    this.#hold(dataId, { update });
    return { dataId, shape, dtype };
  }

  /** The update in place whose result a tensor is. */
  updateOf({ dataId }: tf.TensorInfo): InPlaceUpdate | undefined {
    const held = this.#held.get(dataId);
    return held !== undefined && 'update' in held ? held.update : undefined;
  }

  /**
   * What a tensor stands for.
   * @throws TraceError when it was made outside the trace, or is the result of an update in place
   */
  symbolOf({ dataId }: tf.TensorInfo): GraphSymbol {
    const held = this.#held.get(dataId);
    if (held === undefined) {
      throw new TraceError('a tensor', 'it was made outside the step: make it a feed or a variable');
    }
    if ('update' in held) {
      throw new TraceError(
        'a tensor',
        'it is the result of an update in place and cannot be read in the same step',
      );
    }
    return held.symbol;
  }

  override write(values: tf.BackendValues, shape: number[], dtype: tf.DataType): tf.DataId {
    const dataId = {};
    this.move(dataId, values, shape, dtype);
    return dataId;
  }

  override move(dataId: tf.DataId, values: tf.BackendValues, shape: number[], dtype: tf.DataType): void {
    if (dtype !== 'float32' && dtype !== 'int32' && dtype !== 'bool') {
      throw new TraceError('Const', `got ${dtype}, expected float32, int32 or bool`);
    }
    const numbers = values as Exclude<tf.BackendValues, Uint8Array[]>;
    const typed = { float32: Float32Array, int32: Int32Array, bool: Uint8Array }[dtype].from(numbers);
    // Here and not where it is used: the stack still knows the line that made it.
    const reference = this.trace.graph.constant(typed, shape, dtype);
    this.#hold(dataId, { symbol: { reference, shape, dtype } });
  }

  override readSync(): tf.BackendValues {
    throw readError();
  }

  override read(): Promise<tf.BackendValues> {
    return Promise.reject(readError());
  }

  override numDataIds(): number {
    return 0;
  }

  /** Symbols are garbage collected; what is counted are tensors. */
  override disposeData(dataId: tf.DataId): boolean {
    this.decRef(dataId);
    return this.refCount(dataId) <= 0;
  }

  override incRef(dataId: tf.DataId): void {
    this.#counts.set(dataId, this.refCount(dataId) + 1);
  }

  decRef(dataId: tf.DataId): void {
    this.#counts.set(dataId, this.refCount(dataId) - 1);
  }

  override refCount(dataId: tf.DataId): number {
    return this.#counts.get(dataId) ?? 0;
  }

  override memory(): { unreliable: boolean } {
    return { unreliable: true };
  }

  override floatPrecision(): 16 | 32 {
    return 32;
  }

  override epsilon(): number {
    return 1e-7;
  }

  override dispose(): void {
    // Nothing is held.
  }

  #hold(dataId: tf.DataId, held: Held): void {
    this.#held.set(dataId, held);
    this.#counts.set(dataId, 1);
  }
}

/** The one trace backend of this process. */
export const traceBackend = new TraceBackend();

function readError(): TraceError {
  return new TraceError(
    'read',
    'a value was read while the step was traced, when there is none yet: return it from the step, or decide by an operation',
  );
}

/** tfjs switches to a backend that has started at once, although it returns a promise. */
function useBackend(name: string): void {
  void tf.setBackend(name);
  if (tf.getBackend() !== name) throw new Error(`tfjs did not switch to its backend "${name}"`);
}

function tfjsType(dtype: DType): tf.DataType {
  return dtype === 'bfloat16' || dtype === 'float16' ? 'float32' : dtype;
}

function asTraceError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const kernel = /^Kernel '(\w+)' not registered for backend/.exec(error.message)?.[1];
  if (kernel === undefined) return error;
  return new TraceError(kernel, 'no such kernel for graphs: register one, or compose it of others', error);
}
