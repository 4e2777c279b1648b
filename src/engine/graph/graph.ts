import { TraceError } from './trace-error.ts';
import { isVarying, wireShape } from './varying.ts';

/** Element types of a graph; tfjs itself knows only the first three. */
export type DType = 'float32' | 'int32' | 'bool' | 'bfloat16' | 'float16';

/** Values of a constant. */
export type ConstantValues = Float32Array | Int32Array | Uint8Array;

export type Attribute =
  | { readonly type: DType }
  | { readonly shape: readonly number[] }
  | { readonly int: number }
  | { readonly bool: boolean }
  | { readonly text: string }
  | {
      readonly tensor: {
        readonly dtype: DType;
        readonly shape: readonly number[];
        readonly values: ConstantValues;
      };
    };

export type Attributes = Readonly<Record<string, Attribute>>;

/** One operation, as a NodeDef has it. */
export interface GraphNode {
  readonly name: string;
  readonly op: string;
  /** `node`, `node:1` for further outputs, `^node` for an edge of control. */
  readonly inputs: readonly string[];
  readonly attributes: Attributes;
}

/** Largest constant of a graph. What is larger was data, or should have been made by an operation. */
export const MAX_CONSTANT_BYTES = 4096;

/**
 * A TensorFlow graph that grows. Operations without effects are made once: the same operation on the same inputs is
 * the same node, so what the backward pass computes again (a cast, a transpose, a dropout mask) costs nothing.
 */
export class Graph {
  readonly #nodes: GraphNode[] = [];
  readonly #byName = new Map<string, GraphNode>();
  readonly #known = new Map<string, string>();

  get nodes(): readonly GraphNode[] {
    return this.#nodes;
  }

  /** An operation without effects. @returns reference to its first output */
  node(op: string, inputs: readonly string[], attributes: Attributes = {}): string {
    const key = JSON.stringify([op, inputs, attributes], (_, value: unknown) =>
      ArrayBuffer.isView(value)
        ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')
        : value,
    );
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const name = this.effect(op, inputs, attributes);
    this.#known.set(key, name);
    return name;
  }

  /** Runs `body`; what it added is taken back if it throws. */
  whole<T>(body: () => T): T {
    const length = this.#nodes.length;
    try {
      return body();
    } catch (error) {
      const dropped = new Set(this.#nodes.splice(length).map(({ name }) => name));
      for (const name of dropped) this.#byName.delete(name);
      for (const [key, name] of this.#known) if (dropped.has(name)) this.#known.delete(key);
      throw error;
    }
  }

  /** An operation that is not to be shared: it reads or changes something, or goes by a name. */
  effect(op: string, inputs: readonly string[], attributes: Attributes = {}, name?: string): string {
    const node = { name: name ?? `${op}_${this.#nodes.length}`, op, inputs, attributes };
    if (this.#byName.has(node.name)) throw new RangeError(`the graph has a node "${node.name}" already`);
    this.#nodes.push(node);
    this.#byName.set(node.name, node);
    return node.name;
  }

  /** The node whose first output a reference is. */
  producerOf(reference: string): GraphNode | undefined {
    return this.#byName.get(reference);
  }

  /** @throws TraceError when it is larger than `MAX_CONSTANT_BYTES` */
  constant(values: ConstantValues, shape: readonly number[], dtype: DType): string {
    if (values.byteLength > MAX_CONSTANT_BYTES) {
      throw new TraceError(
        'Const',
        `a constant ${dtype} [${shape.join(', ')}] of ${values.byteLength} bytes would be frozen into the graph, expected at most ${MAX_CONSTANT_BYTES}: make it a feed, or compute it with an operation`,
      );
    }
    return this.node('Const', [], { dtype: { type: dtype }, value: { tensor: { dtype, shape, values } } });
  }

  float(value: number): string {
    return this.constant(Float32Array.of(value), [], 'float32');
  }

  int(value: number): string {
    return this.constant(Int32Array.of(value), [], 'int32');
  }

  /** A list of whole numbers that are no sizes: axes, permutations. */
  ints(values: readonly number[]): string {
    return this.constant(Int32Array.from(values), [values.length], 'int32');
  }

  /**
   * A shape as an operation's input.
   * @param operation who wants it, for the error
   * @param maxUnknown how many sizes the operation works out itself where it is given −1
   * @throws TraceError when more of them vary
   */
  shape(operation: string, shape: readonly number[], maxUnknown = 0): string {
    if (shape.filter(isVarying).length > maxUnknown) {
      throw new TraceError(operation, 'a size that varies from call to call would be frozen into the graph');
    }
    return this.ints(wireShape(shape));
  }

  /** Casts; a value that was widened is narrowed again without loss, so that is the value it was. */
  cast(reference: string, from: DType, to: DType): string {
    if (from === to) return reference;
    const producer = this.producerOf(reference);
    const source = producer?.op === 'Cast' ? producer.attributes.SrcT : undefined;
    if (from === 'float32' && source !== undefined && 'type' in source && source.type === to) {
      return producer!.inputs[0]!;
    }
    return this.node('Cast', [reference], { SrcT: { type: from }, DstT: { type: to } });
  }
}
