import type * as tf from '@tensorflow/tfjs-core';
import { KERNELS } from '../../ops/kernel.ts';
import type { GraphCall, GraphKernel } from './graph-call.ts';

const float32 = { T: { type: 'float32' } } as const;

/** Composites of src/ops in operations of TensorFlow, gradients in closed form. */
export const composites: Readonly<Record<string, GraphKernel>> = {
  [KERNELS.dropout]: dropout,
  [KERNELS.crossEntropy]: crossEntropy,
  [KERNELS.gelu]: gelu,
  [KERNELS.geluGradient]: geluGradient,
  [KERNELS.layerNorm]: layerNorm,
  [KERNELS.layerNormGradient]: layerNormGradient,
  [KERNELS.columnSums]: columnSums,
  [KERNELS.sumOfSquares]: sumOfSquares,
};

function dropout(call: GraphCall): tf.TensorInfo {
  const x = call.input('x');
  const rate = call.number('rate');
  const kept = keptElements(call, x.shape, call.reference(call.input('seed')), call.number('site'), rate);
  const scaled = call.map('Mul', call.reference(x), call.graph.float(1 / (1 - rate)));
  return call.output(call.node('SelectV2', [kept, scaled, call.graph.float(0)], float32), x.shape);
}

/** Which elements a dropout mask keeps: bool, of the given shape. The backward pass asks for the same node. */
export function keptElements(
  call: GraphCall,
  shape: readonly number[],
  seed: string,
  site: number,
  rate: number,
): string {
  const { graph } = call;
  const seedOfSite = graph.node('AddV2', [seed, graph.ints([site, 0])], { T: { type: 'int32' } });
  const uniform = graph.node('StatelessRandomUniform', [call.shapeInCall(shape), seedOfSite], {
    dtype: { type: 'float32' },
    T: { type: 'int32' },
    Tseed: { type: 'int32' },
  });
  return graph.node('GreaterEqual', [uniform, graph.float(rate)], float32);
}

function crossEntropy(call: GraphCall): tf.TensorInfo[] {
  const [logits, labels] = [call.input('logits'), call.input('labels')];
  const [values, words] = [call.reference(logits), call.reference(labels)];
  const node = call.node('SparseSoftmaxCrossEntropyWithLogits', [values, words], {
    T: { type: 'float32' },
    Tlabels: { type: 'int32' },
  });
  const best = call.node('ArgMax', [values, call.graph.int(1)], {
    T: { type: 'float32' },
    Tidx: { type: 'int32' },
    output_type: { type: 'int32' },
  });
  const hits = call.node('Equal', [best, words], { T: { type: 'int32' } });
  return [
    call.output(node, labels.shape),
    call.output(call.graph.cast(hits, 'bool', 'float32'), labels.shape),
    call.output(`${node}:1`, logits.shape),
  ];
}

/** 1 + erf(x/√2), of which both GELU and its gradient are made. */
function twiceCdf(call: GraphCall, x: string): string {
  const erf = call.map('Erf', call.map('Mul', x, call.graph.float(Math.SQRT1_2)));
  return call.map('AddV2', erf, call.graph.float(1));
}

function gelu(call: GraphCall): tf.TensorInfo {
  const x = call.input('x');
  const value = call.reference(x);
  const half = call.map('Mul', value, call.graph.float(0.5));
  return call.output(call.map('Mul', half, twiceCdf(call, value)), x.shape);
}

function geluGradient(call: GraphCall): tf.TensorInfo {
  const [dy, x] = [call.input('dy'), call.input('x')];
  const value = call.reference(x);
  const cdf = call.map('Mul', twiceCdf(call, value), call.graph.float(0.5));
  const exponent = call.map('Mul', call.map('Square', value), call.graph.float(-0.5));
  const density = call.map('Mul', call.map('Exp', exponent), call.graph.float(1 / Math.sqrt(2 * Math.PI)));
  const slope = call.map('AddV2', cdf, call.map('Mul', value, density));
  return call.output(call.map('Mul', call.reference(dy), slope), x.shape);
}

function layerNorm(call: GraphCall): tf.TensorInfo[] {
  const [x, gain, bias] = [call.input('x'), call.input('gain'), call.input('bias')];
  const value = call.reference(x);
  const centred = call.map('Sub', value, call.reduce('Mean', value, [1], true));
  const variance = call.reduce('Mean', call.map('Square', centred), [1], true);
  const epsilon = call.graph.float(call.number('epsilon'));
  const rstd = call.map('Rsqrt', call.map('AddV2', variance, epsilon));
  const normalised = call.map('Mul', centred, rstd);
  const y = call.map('AddV2', call.map('Mul', normalised, call.reference(gain)), call.reference(bias));
  return [call.output(y, x.shape), call.output(normalised, x.shape), call.output(rstd, [x.shape[0]!, 1])];
}

function layerNormGradient(call: GraphCall): tf.TensorInfo[] {
  const { shape } = call.input('dy');
  const reference = (name: string): string => call.reference(call.input(name));
  const [dy, normalised] = [reference('dy'), reference('normalised')];
  const scaled = call.map('Mul', dy, reference('gain'));
  const mean = call.reduce('Mean', scaled, [1], true);
  const projection = call.reduce('Mean', call.map('Mul', scaled, normalised), [1], true);
  const centred = call.map('Sub', call.map('Sub', scaled, mean), call.map('Mul', normalised, projection));
  return [
    call.output(call.map('Mul', centred, reference('rstd')), shape),
    call.output(sumOverRows(call, call.map('Mul', dy, normalised)), [shape[1]!]),
    call.output(sumOverRows(call, dy), [shape[1]!]),
  ];
}

function sumOverRows(call: GraphCall, matrix: string): string {
  return call.node('BiasAddGrad', [matrix], float32);
}

function columnSums(call: GraphCall): tf.TensorInfo {
  const x = call.input('x');
  return call.output(sumOverRows(call, call.reference(x)), [x.shape[1]!]);
}

function sumOfSquares(call: GraphCall): tf.TensorInfo {
  const half = call.map('L2Loss', call.reference(call.input('x')));
  return call.output(call.map('Mul', half, call.graph.float(2)), []);
}
