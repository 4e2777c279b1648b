import { delimited, float, integer, type Message, message, piece, text } from '../report/protobuf.ts';

/*
 * Numbers of fields and types are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), release
 * 1.12, whose operators are opset 17.
 */

/** The first in which LayerNormalization is one operator. */
const OPSET = 17;
/** Version of the file format that came with it. */
const IR_VERSION = 8;

const ELEMENT_TYPES = { float32: 1, int64: 7 } as const;
export type ElementType = keyof typeof ELEMENT_TYPES;

/** A name for a value of the graph. */
export type Value = string;

/** A number or a list of whole numbers; numbers that are not whole are floats, and `float` marks those that are. */
export type Attribute = number | readonly number[] | { readonly float: number };

/** A dimension: its size, or a name where it differs from call to call. */
export type Dimension = number | string;

/** Collects nodes and constants of an ONNX graph in the order in which they are computed. */
export class OnnxGraph {
  readonly #nodes: Message[] = [];
  readonly #constants: Message[] = [];
  readonly #inputs: Message[] = [];
  readonly #outputs: Message[] = [];
  #numNodes = 0;

  input(name: string, type: ElementType, shape: readonly Dimension[]): Value {
    this.#inputs.push(valueInfo(name, type, shape));
    return name;
  }

  output(value: Value, type: ElementType, shape: readonly Dimension[]): void {
    this.#outputs.push(valueInfo(value, type, shape));
  }

  /** float32 numbers that come with the model. */
  weights(name: string, shape: readonly number[], values: Float32Array<ArrayBuffer>): Value {
    const { buffer, byteOffset, byteLength } = values;
    return this.#constant(name, 'float32', shape, new Uint8Array(buffer, byteOffset, byteLength));
  }

  /** A float32 scalar. */
  scalar(name: string, value: number): Value {
    return this.weights(name, [], Float32Array.of(value));
  }

  /** int64 numbers in a row, such as a shape. */
  integers(name: string, values: readonly number[]): Value {
    const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    return this.#constant(name, 'int64', [values.length], bytes);
  }

  /** Adds a node with one output. @param output its name; one of its own by default */
  node(
    operator: string,
    inputs: readonly Value[],
    attributes: Readonly<Record<string, Attribute>> = {},
    output?: string,
  ): Value {
    return this.nodes(operator, inputs, attributes, [output ?? `${operator}_${this.#numNodes}`])[0]!;
  }

  /** Adds a node with several outputs. */
  nodes<Names extends readonly string[]>(
    operator: string,
    inputs: readonly Value[],
    attributes: Readonly<Record<string, Attribute>>,
    outputs: Names,
  ): Names {
    this.#nodes.push(
      message(
        ...inputs.map((name) => text(1, name)),
        ...outputs.map((name) => text(2, name)),
        text(3, `${operator}_${this.#numNodes}`),
        text(4, operator),
        ...Object.entries(attributes).map(([name, value]) => delimited(5, attributeOf(name, value))),
      ),
    );
    this.#numNodes += 1;
    return outputs;
  }

  /** The whole file, in pieces. @param version of this program */
  model(name: string, version: string): Message {
    const graph = message(
      ...this.#nodes.map((node) => delimited(1, node)),
      text(2, name),
      ...this.#constants.map((constant) => delimited(5, constant)),
      ...this.#inputs.map((input) => delimited(11, input)),
      ...this.#outputs.map((output) => delimited(12, output)),
    );
    const opset = message(text(1, ''), integer(2, OPSET));
    return message(
      integer(1, IR_VERSION),
      text(2, 'taco-pretraining'),
      text(3, version),
      delimited(7, graph),
      delimited(8, opset),
    );
  }

  #constant(name: string, type: ElementType, shape: readonly number[], bytes: Uint8Array): Value {
    this.#constants.push(
      message(
        ...shape.map((size) => integer(1, size)),
        integer(2, ELEMENT_TYPES[type]),
        text(8, name),
        delimited(9, piece(bytes)),
      ),
    );
    return name;
  }
}

/** AttributeProto. */
function attributeOf(name: string, value: Attribute): Message {
  if (typeof value === 'number') return message(text(1, name), integer(3, value), integer(20, 2));
  if ('float' in value) return message(text(1, name), float(2, value.float), integer(20, 1));
  return message(text(1, name), ...value.map((entry) => integer(8, entry)), integer(20, 7));
}

/** ValueInfoProto of a tensor. */
function valueInfo(name: string, type: ElementType, shape: readonly Dimension[]): Message {
  const dimensions = shape.map((size) =>
    delimited(1, typeof size === 'number' ? integer(1, size) : text(2, size)),
  );
  const tensor = message(integer(1, ELEMENT_TYPES[type]), delimited(2, message(...dimensions)));
  return message(text(1, name), delimited(2, delimited(1, tensor)));
}
