import * as tf from '@tensorflow/tfjs-core';
import type { Attributes, DType } from './graph.ts';
import { type GraphCall, type GraphKernel, registerGraphKernel } from './graph-call.ts';
import { tfjsProduct } from './products.ts';
import { TraceError } from './trace-error.ts';
import { isVarying } from './varying.ts';

const { assertAndGetBroadcastShape } = tf.broadcast_util;

const arithmetic = {
  [tf.Add]: 'AddV2',
  [tf.Sub]: 'Sub',
  [tf.Multiply]: 'Mul',
  [tf.RealDiv]: 'RealDiv',
  [tf.Maximum]: 'Maximum',
  [tf.Minimum]: 'Minimum',
  [tf.SquaredDifference]: 'SquaredDifference',
} as const;
const comparisons = [tf.Greater, tf.GreaterEqual, tf.Less, tf.LessEqual, tf.Equal, tf.NotEqual] as const;
const elementwise = [tf.Square, tf.Sqrt, tf.Rsqrt, tf.Erf, tf.Exp, tf.Log, tf.Neg, tf.Tanh, tf.Abs] as const;
const likenesses = [tf.OnesLike, tf.ZerosLike] as const;
const reductions = [tf.Sum, tf.Mean, tf.Max] as const;

/** Kernels of tfjs, by name, as operations of TensorFlow. */
const kernels: Readonly<Record<string, GraphKernel>> = {
  [tf.BatchMatMul]: (call) => tfjsProduct(call, call.input('a'), call.input('b'), transposition(call)),
  [tf.Cast]: cast,
  [tf.Concat]: concat,
  [tf.ExpandDims]: expandDims,
  [tf.Fill]: fill,
  [tf._FusedMatMul]: fusedProduct,
  [tf.GatherV2]: gather,
  [tf.Identity]: (call) => call.view(call.input('x'), call.input('x').shape),
  [tf.IsFinite]: (call) => like(call, 'IsFinite', 'bool'),
  [tf.LogicalAnd]: (call) => binary(call, 'LogicalAnd', 'bool', {}),
  [tf.Pack]: pack,
  [tf.PadV2]: pad,
  [tf.Range]: range,
  [tf.Reshape]: reshape,
  [tf.ScatterNd]: scatterNd,
  [tf.Select]: select,
  [tf.Slice]: slice,
  [tf.Softmax]: softmax,
  [tf.Tile]: tile,
  [tf.Transpose]: transpose,
  [tf.Unpack]: unpack,
  [tf.UnsortedSegmentSum]: unsortedSegmentSum,
};

/** Registers tfjs's own kernels for traces. */
export function registerTfjsKernels(): void {
  for (const [name, kernel] of Object.entries(kernels)) registerGraphKernel(name, kernel);
  for (const [name, op] of Object.entries(arithmetic)) {
    registerGraphKernel(name, (call) => binary(call, op, typeOf(call, call.input('a'))));
  }
  for (const name of comparisons) registerGraphKernel(name, (call) => binary(call, name, 'bool'));
  for (const name of [...elementwise, ...likenesses]) registerGraphKernel(name, (call) => like(call, name));
  for (const name of reductions) registerGraphKernel(name, (call) => reduce(call, name));
}

function typeOf(call: GraphCall, info: tf.TensorInfo): DType {
  return call.symbol(info).dtype;
}

function binary(call: GraphCall, op: string, dtype: DType, attributes?: Attributes): tf.TensorInfo {
  const [a, b] = [call.input('a'), call.input('b')];
  const shape = assertAndGetBroadcastShape(a.shape, b.shape);
  const inputs = [call.reference(a), call.reference(b)];
  return call.output(call.node(op, inputs, attributes ?? { T: { type: typeOf(call, a) } }), shape, dtype);
}

/** An operation on `x` whose output is shaped like it. */
function like(call: GraphCall, op: string, to?: DType): tf.TensorInfo {
  const x = call.input('x');
  const { reference, shape, dtype } = call.symbol(x);
  return call.output(call.node(op, [reference], { T: { type: dtype } }), x.shape, to ?? dtype, shape);
}

function reshape(call: GraphCall): tf.TensorInfo {
  const x = call.input('x');
  const size = tf.util.sizeFromShape(x.shape);
  return call.view(x, tf.util.inferFromImplicitShape(call.attribute('shape') as number[], size));
}

function expandDims(call: GraphCall): tf.TensorInfo {
  const input = call.input('input');
  const dim = call.number('dim');
  return call.view(input, input.shape.toSpliced(dim < 0 ? input.shape.length + dim + 1 : dim, 0, 1));
}

function cast(call: GraphCall): tf.TensorInfo {
  const x = call.input('x');
  const { reference, shape, dtype } = call.symbol(x);
  const to = call.attribute('dtype') as DType;
  return call.output(call.graph.cast(reference, dtype, to), x.shape, to, shape);
}

function reduce(call: GraphCall, op: (typeof reductions)[number]): tf.TensorInfo {
  const x = call.input('x');
  const given = (call.attribute('axis') ?? call.attribute('reductionIndices')) as number | number[];
  const axes = tf.util.parseAxisParam(given, x.shape);
  const keepDims = call.attribute('keepDims') === true;
  const shape = keepDims
    ? x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size))
    : x.shape.filter((_, axis) => !axes.includes(axis));
  const dtype = typeOf(call, x);
  return call.output(call.reduce(op, call.reference(x), axes, keepDims, dtype), shape, dtype);
}

function softmax(call: GraphCall): tf.TensorInfo {
  const x = call.input('logits');
  return call.output(call.map('Softmax', call.reference(x)), x.shape);
}

function transpose(call: GraphCall): tf.TensorInfo {
  const x = call.input('x');
  const permutation = call.attribute('perm') as number[];
  const dtype = typeOf(call, x);
  const shape = permutation.map((axis) => x.shape[axis]!);
  return call.output(call.transpose(call.reference(x), permutation, dtype), shape, dtype);
}

function gather(call: GraphCall): tf.TensorInfo {
  const [x, indices] = [call.input('x'), call.input('indices')];
  const [axis, batchDims] = [call.number('axis'), call.number('batchDims')];
  const shape = [...x.shape.slice(0, axis), ...indices.shape.slice(batchDims), ...x.shape.slice(axis + 1)];
  const output = call.node('GatherV2', [call.reference(x), call.reference(indices), call.graph.int(axis)], {
    Tparams: { type: typeOf(call, x) },
    Tindices: { type: 'int32' },
    Taxis: { type: 'int32' },
    batch_dims: { int: batchDims },
  });
  return call.output(output, shape, typeOf(call, x));
}

function unsortedSegmentSum(call: GraphCall): tf.TensorInfo {
  const [x, ids] = [call.input('x'), call.input('segmentIds')];
  const numSegments = call.number('numSegments');
  const inputs = [call.reference(x), call.reference(ids), call.sizeInCall(numSegments)];
  const output = call.node('UnsortedSegmentSum', inputs, {
    T: { type: typeOf(call, x) },
    Tindices: { type: 'int32' },
    Tnumsegments: { type: 'int32' },
  });
  return call.output(output, [numSegments, ...x.shape.slice(ids.shape.length)], typeOf(call, x));
}

function scatterNd(call: GraphCall): tf.TensorInfo {
  const [indices, updates] = [call.input('indices'), call.input('updates')];
  const shape = call.attribute('shape') as number[];
  const inputs = [call.reference(indices), call.reference(updates), call.graph.shape('ScatterNd', shape)];
  const attributes = { T: { type: typeOf(call, updates) }, Tindices: { type: 'int32' } } as const;
  return call.output(call.node('ScatterNd', inputs, attributes), shape, typeOf(call, updates));
}

function slice(call: GraphCall): tf.TensorInfo {
  const x = call.input('x');
  const [begin, size] = tf.slice_util.parseSliceParams(
    x,
    call.attribute('begin') as number | number[],
    call.attribute('size') as number | number[],
  ) as [number[], number[]];
  // −1 takes the rest: right for a size that varies, as long as it is not cut.
  const cut = size.findIndex((length, axis) => isVarying(x.shape[axis]!) && length !== x.shape[axis]!);
  if (cut !== -1) {
    throw new TraceError('Slice', `axis ${cut} has a size that varies from call to call and cannot be cut`);
  }
  const inputs = [call.reference(x), call.graph.ints(begin), call.graph.shape('Slice', size, size.length)];
  const output = call.node('Slice', inputs, { T: { type: typeOf(call, x) }, Index: { type: 'int32' } });
  return call.output(output, size, typeOf(call, x));
}

function tile(call: GraphCall): tf.TensorInfo {
  const x = call.input('x');
  const reps = call.attribute('reps') as number[];
  const inputs = [call.reference(x), call.shapeInCall(reps)];
  const output = call.node('Tile', inputs, { T: { type: typeOf(call, x) }, Tmultiples: { type: 'int32' } });
  const shape = x.shape.map((size, axis) => size * reps[axis]!);
  return call.output(output, shape, typeOf(call, x));
}

function concat(call: GraphCall): tf.TensorInfo {
  const parts = call.inputs();
  const axis = tf.util.parseAxisParam(call.number('axis'), parts[0]!.shape)[0]!;
  const shape = tf.backend_util.computeOutShape(
    parts.map((part) => part.shape),
    axis,
  );
  const dtype = typeOf(call, parts[0]!);
  const inputs = [...parts.map((part) => call.reference(part)), call.graph.int(axis)];
  const attributes = { N: { int: parts.length }, T: { type: dtype }, Tidx: { type: 'int32' } } as const;
  return call.output(call.node('ConcatV2', inputs, attributes), shape, dtype);
}

function pack(call: GraphCall): tf.TensorInfo {
  const parts = call.inputs();
  const axis = call.number('axis');
  const dtype = typeOf(call, parts[0]!);
  const references = parts.map((part) => call.reference(part));
  const output = call.node('Pack', references, {
    N: { int: parts.length },
    T: { type: dtype },
    axis: { int: axis },
  });
  return call.output(output, parts[0]!.shape.toSpliced(axis, 0, parts.length), dtype);
}

function pad(call: GraphCall): tf.TensorInfo {
  const x = call.input('x');
  const paddings = call.attribute('paddings') as [number, number][];
  const dtype = typeOf(call, x);
  const value = call.number('constantValue');
  const scalar = dtype === 'int32' ? call.graph.int(value) : call.graph.float(value);
  const widths = call.graph.constant(Int32Array.from(paddings.flat()), [paddings.length, 2], 'int32');
  const output = call.node('PadV2', [call.reference(x), widths, scalar], {
    T: { type: dtype },
    Tpaddings: { type: 'int32' },
  });
  const shape = x.shape.map((size, axis) => size + paddings[axis]![0] + paddings[axis]![1]);
  return call.output(output, shape, dtype);
}

function unpack(call: GraphCall): tf.TensorInfo[] {
  const value = call.input('value');
  const axis = call.number('axis');
  const count = value.shape[axis]!;
  const dtype = typeOf(call, value);
  const attributes = { num: { int: count }, T: { type: dtype }, axis: { int: axis } } as const;
  const node = call.node('Unpack', [call.reference(value)], attributes);
  const shape = value.shape.toSpliced(axis, 1);
  return Array.from({ length: count }, (_, i) => call.output(i === 0 ? node : `${node}:${i}`, shape, dtype));
}

function fill(call: GraphCall): tf.TensorInfo {
  const shape = call.attribute('shape') as number[];
  const dtype = call.attribute('dtype') === 'int32' ? 'int32' : 'float32';
  const value = call.number('value');
  const scalar = dtype === 'int32' ? call.graph.int(value) : call.graph.float(value);
  const output = call.node('Fill', [call.graph.shape('Fill', shape), scalar], {
    T: { type: dtype },
    index_type: { type: 'int32' },
  });
  return call.output(output, shape, dtype);
}

function range(call: GraphCall): tf.TensorInfo {
  const [start, stop, step] = [call.number('start'), call.number('stop'), call.number('step')];
  const dtype = call.attribute('dtype') === 'int32' ? 'int32' : 'float32';
  if (isVarying(stop)) throw new TraceError('Range', 'its length varies from call to call');
  const scalar = (value: number): string =>
    dtype === 'int32' ? call.graph.int(value) : call.graph.float(value);
  const output = call.node('Range', [scalar(start), scalar(stop), scalar(step)], { Tidx: { type: dtype } });
  return call.output(output, [Math.max(0, Math.ceil((stop - start) / step))], dtype);
}

function select(call: GraphCall): tf.TensorInfo {
  const [condition, yes, no] = [call.input('condition'), call.input('t'), call.input('e')];
  const shape = assertAndGetBroadcastShape(condition.shape, assertAndGetBroadcastShape(yes.shape, no.shape));
  const dtype = typeOf(call, yes);
  const inputs = [call.reference(condition), call.reference(yes), call.reference(no)];
  return call.output(call.node('SelectV2', inputs, { T: { type: dtype } }), shape, dtype);
}

function transposition(call: GraphCall): { readonly transposeA: boolean; readonly transposeB: boolean } {
  return {
    transposeA: call.attribute('transposeA') === true,
    transposeB: call.attribute('transposeB') === true,
  };
}

function fusedProduct(call: GraphCall): tf.TensorInfo {
  const activation = call.attribute('activation');
  if (activation !== undefined && activation !== null && activation !== 'linear') {
    throw new TraceError('_FusedMatMul', 'it has an activation, expected none');
  }
  const bias = call.optionalInput('bias');
  return tfjsProduct(call, call.input('a'), call.input('b'), {
    ...transposition(call),
    ...(bias === undefined ? {} : { bias: call.reference(bias) }),
  });
}
