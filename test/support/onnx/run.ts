import type { OnnxModel, OnnxNode, OnnxTensor } from './read.ts';

/**
 * Computes an ONNX graph by the text of the operators' definitions, number by number in float64: the operators of BERT
 * and no others. Slow, and independent of every runtime.
 */
export function runOnnx(
  model: OnnxModel,
  inputs: Readonly<Record<string, OnnxTensor>>,
): Map<string, OnnxTensor> {
  const values = new Map<string, OnnxTensor>([...model.constants, ...Object.entries(inputs)]);
  for (const node of model.nodes) {
    const operator = OPERATORS[node.operator];
    if (operator === undefined) throw new Error(`no operator ${node.operator}`);
    const given = node.inputs.map((name) => {
      const value = values.get(name);
      if (value === undefined) throw new Error(`${node.operator} comes before its input ${name}`);
      return value;
    });
    for (const [index, result] of operator(given, node.attributes).entries()) {
      values.set(node.outputs[index]!, result);
    }
  }
  return new Map(model.outputs.map(({ name }) => [name, values.get(name)!]));
}

type Attributes = OnnxNode['attributes'];
type Operator = (inputs: readonly OnnxTensor[], attributes: Attributes) => readonly OnnxTensor[];

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/** A tensor by its value at each place. */
function build(shape: readonly number[], valueAt: (place: readonly number[]) => number): OnnxTensor {
  const values = new Float64Array(sizeOf(shape));
  const place = shape.map(() => 0);
  for (let at = 0; at < values.length; at += 1) {
    values[at] = valueAt(place);
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      place[axis]! += 1;
      if (place[axis]! < shape[axis]!) break;
      place[axis] = 0;
    }
  }
  return { shape, values };
}

/** The value at a place of a larger shape: axes that are missing or of size 1 are repeated. */
function valueAt({ shape, values }: OnnxTensor, place: readonly number[]): number {
  const offset = place.length - shape.length;
  let at = 0;
  for (const [axis, size] of shape.entries()) at = at * size + (size === 1 ? 0 : place[axis + offset]!);
  return values[at]!;
}

const elementwise =
  (compute: (a: number, b: number) => number): Operator =>
  ([a, b]) => {
    const rank = Math.max(a!.shape.length, b!.shape.length);
    const sizeAt = ({ shape }: OnnxTensor, axis: number) => shape[axis - rank + shape.length] ?? 1;
    const shape = Array.from({ length: rank }, (_, axis) => Math.max(sizeAt(a!, axis), sizeAt(b!, axis)));
    return [build(shape, (place) => compute(valueAt(a!, place), valueAt(b!, place)))];
  };

/** Computes along the last axis. */
function alongRows({ shape, values }: OnnxTensor, compute: (row: Float64Array) => Float64Array): OnnxTensor {
  const size = shape.at(-1)!;
  const result = new Float64Array(values.length);
  for (let at = 0; at < values.length; at += size) {
    result.set(compute(Float64Array.from(values.slice(at, at + size))), at);
  }
  return { shape, values: result };
}

const OPERATORS: Readonly<Record<string, Operator | undefined>> = {
  Add: elementwise((a, b) => a + b),
  Sub: elementwise((a, b) => a - b),
  Mul: elementwise((a, b) => a * b),
  Cast: ([x]) => [x!],
  Erf: ([x]) => [{ shape: x!.shape, values: Float64Array.from(x!.values, erf) }],
  Shape: ([x], { start, end }) => {
    const values = Float64Array.from(x!.shape.slice(start as number, end as number));
    return [{ shape: [values.length], values }];
  },
  Slice: ([x, starts, ends, axes]) => {
    if (starts!.values[0] !== 0 || axes!.values[0] !== 0) throw new Error('only the beginning of axis 0');
    const shape = [Math.min(ends!.values[0]!, x!.shape[0]!), ...x!.shape.slice(1)];
    return [{ shape, values: x!.values.slice(0, sizeOf(shape)) }];
  },
  Gather: ([table, ids]) => {
    const shape = [...ids!.shape, ...table!.shape.slice(1)];
    const rank = ids!.shape.length;
    return [
      build(shape, (place) => valueAt(table!, [valueAt(ids!, place.slice(0, rank)), ...place.slice(rank)])),
    ];
  },
  Reshape: ([x, shape]) => {
    const wanted = Array.from(shape!.values, (size, axis) => (size === 0 ? x!.shape[axis]! : size));
    const known = wanted.reduce((product, size) => product * (size === -1 ? 1 : size), 1);
    const filled = wanted.map((size) => (size === -1 ? x!.values.length / known : size));
    if (sizeOf(filled) !== x!.values.length)
      throw new Error(`[${x!.shape.join()}] is not [${wanted.join()}]`);
    return [{ shape: filled, values: x!.values }];
  },
  Transpose: ([x], { perm }) => {
    const axes = perm as readonly number[];
    return [
      build(
        axes.map((axis) => x!.shape[axis]!),
        (place) =>
          valueAt(
            x!,
            x!.shape.map((_, axis) => place[axes.indexOf(axis)]!),
          ),
      ),
    ];
  },
  Split: ([x], { axis, ...rest }) => {
    const count = 3;
    if (Object.keys(rest).length > 0) throw new Error('an attribute that opset 17 does not have');
    const size = x!.shape[axis as number]! / count;
    const shape = x!.shape.map((whole, at) => (at === axis ? size : whole));
    return Array.from({ length: count }, (_, part) =>
      build(shape, (place) =>
        valueAt(
          x!,
          place.map((at, i) => (i === axis ? at + part * size : at)),
        ),
      ),
    );
  },
  MatMul: ([a, b]) => {
    const inner = a!.shape.at(-1)!;
    if (b!.shape.at(-2) !== inner) throw new Error(`[${a!.shape.join()}] times [${b!.shape.join()}]`);
    const shape = [...a!.shape.slice(0, -1), b!.shape.at(-1)!];
    return [
      build(shape, (place) => {
        let sum = 0;
        for (let i = 0; i < inner; i += 1) {
          const left = [...place.slice(0, -1), i];
          sum += valueAt(a!, left) * valueAt(b!, [...place.slice(0, -2), i, place.at(-1)!]);
        }
        return sum;
      }),
    ];
  },
  Softmax: ([x], { axis }) => {
    if (axis !== -1) throw new Error('only the last axis');
    return [
      alongRows(x!, (row) => {
        const greatest = Math.max(...row);
        const powers = row.map((value) => Math.exp(value - greatest));
        const sum = powers.reduce((a, b) => a + b, 0);
        return powers.map((power) => power / sum);
      }),
    ];
  },
  LayerNormalization: ([x, gain, bias], { axis, epsilon }) => {
    if (axis !== -1) throw new Error('only the last axis');
    return [
      alongRows(x!, (row) => {
        const mean = row.reduce((a, b) => a + b, 0) / row.length;
        const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / row.length;
        const scale = 1 / Math.sqrt(variance + (epsilon as number));
        return row.map((value, at) => (value - mean) * scale * gain!.values[at]! + bias!.values[at]!);
      }),
    ];
  },
};

/** By its series for small and its continued fraction for large arguments (Abramowitz and Stegun 7.1.6, 7.1.14). */
function erf(x: number): number {
  const size = Math.abs(x);
  const factor = Math.exp(-size * size) / Math.sqrt(Math.PI);
  if (size > 3) {
    let fraction = size;
    for (let k = 60; k > 0; k -= 1) fraction = size + k / 2 / fraction;
    return Math.sign(x) * (1 - factor / fraction);
  }
  let term = size;
  let sum = term;
  for (let n = 1; n < 100; n += 1) {
    term *= (2 * size * size) / (2 * n + 1);
    sum += term;
  }
  return Math.sign(x) * 2 * factor * sum;
}
