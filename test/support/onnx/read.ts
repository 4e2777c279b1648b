/** A reader of ONNX files that knows nothing of the writer: fields by their numbers in onnx.proto. */

export interface OnnxNode {
  readonly operator: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, number | readonly number[]>>;
}

export interface OnnxTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array | Float64Array;
}

export interface OnnxValue {
  readonly name: string;
  readonly type: number;
  readonly shape: readonly (number | string)[];
}

export interface OnnxModel {
  readonly irVersion: number;
  readonly opset: number;
  readonly nodes: readonly OnnxNode[];
  readonly constants: ReadonlyMap<string, OnnxTensor>;
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
}

type Field = bigint | Buffer;
type Fields = ReadonlyMap<number, readonly Field[]>;

/** Fields of a message by number. Floats come as four bytes. */
function fieldsOf(bytes: Buffer): Fields {
  const fields = new Map<number, Field[]>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at]!;
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw new Error('a field reaches beyond its message');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const key = Number(varint());
    const wire = key & 7;
    if (wire !== 0 && wire !== 2 && wire !== 5) throw new Error(`unknown wire type ${wire}`);
    const value = wire === 0 ? varint() : take(wire === 2 ? Number(varint()) : 4);
    fields.set(key >>> 3, [...(fields.get(key >>> 3) ?? []), value]);
  }
  return fields;
}

const numbers = (fields: Fields, number: number): readonly bigint[] =>
  (fields.get(number) ?? []).filter((field) => typeof field === 'bigint');
const buffers = (fields: Fields, number: number): readonly Buffer[] =>
  (fields.get(number) ?? []).filter((field) => typeof field !== 'bigint');
const texts = (fields: Fields, number: number): readonly string[] => buffers(fields, number).map(String);
const integers = (fields: Fields, number: number): readonly number[] =>
  numbers(fields, number).map((value) => Number(BigInt.asIntN(64, value)));
const messages = (fields: Fields, number: number): readonly Fields[] => buffers(fields, number).map(fieldsOf);

export function readOnnx(file: Buffer): OnnxModel {
  const model = fieldsOf(file);
  const [graph] = messages(model, 7);
  const [opset] = messages(model, 8);
  return {
    irVersion: integers(model, 1)[0]!,
    opset: integers(opset!, 2)[0]!,
    nodes: messages(graph!, 1).map(nodeOf),
    constants: new Map(messages(graph!, 5).map(tensorOf)),
    inputs: messages(graph!, 11).map(valueInfoOf),
    outputs: messages(graph!, 12).map(valueInfoOf),
  };
}

function nodeOf(node: Fields): OnnxNode {
  const attributes = messages(node, 5).map((attribute) => {
    const [name] = texts(attribute, 1);
    const type = integers(attribute, 20)[0]!;
    if (type === 1) return [name!, buffers(attribute, 2)[0]!.readFloatLE()] as const;
    return [name!, type === 2 ? integers(attribute, 3)[0]! : integers(attribute, 8)] as const;
  });
  return {
    operator: texts(node, 4)[0]!,
    inputs: texts(node, 1),
    outputs: texts(node, 2),
    attributes: Object.fromEntries(attributes),
  };
}

function tensorOf(tensor: Fields): readonly [string, OnnxTensor] {
  const [raw] = buffers(tensor, 9);
  const copy = new Uint8Array(raw!).buffer;
  const isFloat = integers(tensor, 2)[0] === 1;
  const values = isFloat ? new Float32Array(copy) : Float64Array.from(new BigInt64Array(copy), Number);
  return [texts(tensor, 8)[0]!, { shape: integers(tensor, 1), values }];
}

function valueInfoOf(value: Fields): OnnxValue {
  const [type] = messages(value, 2);
  const [tensor] = messages(type!, 1);
  const [shape] = messages(tensor!, 2);
  const dimensions = messages(shape!, 1).map((size) => texts(size, 2)[0] ?? integers(size, 1)[0]!);
  return { name: texts(value, 1)[0]!, type: integers(tensor!, 1)[0]!, shape: dimensions };
}
