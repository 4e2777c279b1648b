import * as tf from '@tensorflow/tfjs-core';
import type { DType } from './graph.ts';
import type { GraphCall } from './graph-call.ts';

export interface ProductOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  /** Added to each row, [n]. */
  readonly bias?: string;
}

/** A float32 value in the type of products. */
export function operand(call: GraphCall, reference: string): string {
  return call.graph.cast(reference, 'float32', call.productType);
}

/**
 * a·b of two matrices given in float32, computed in the type of products; oneDNN does it together with the bias.
 * @returns reference to the product in float32
 */
function matrixProduct(call: GraphCall, a: string, b: string, options: ProductOptions = {}): string {
  const { graph, productType } = call;
  const type = { type: productType };
  let product = graph.node('MatMul', [operand(call, a), operand(call, b)], {
    T: type,
    transpose_a: { bool: options.transposeA ?? false },
    transpose_b: { bool: options.transposeB ?? false },
  });
  if (options.bias !== undefined) {
    product = graph.node('BiasAdd', [product, operand(call, options.bias)], { T: type });
  }
  return graph.cast(product, productType, 'float32');
}

/**
 * Products of stacks of matrices whose leading axes are the same; operands and result are of `type`, that of products
 * unless another is given.
 */
export function batchProduct(
  { graph, productType }: GraphCall,
  a: string,
  b: string,
  {
    transposeA = false,
    transposeB = false,
    type = productType,
  }: Omit<ProductOptions, 'bias'> & { readonly type?: DType } = {},
): string {
  return graph.node('BatchMatMulV2', [a, b], {
    T: { type },
    adj_x: { bool: transposeA },
    adj_y: { bool: transposeB },
  });
}

/** tfjs's BatchMatMul, of which the product of two matrices is the case of leading axes of 1. */
export function tfjsProduct(
  call: GraphCall,
  a: tf.TensorInfo,
  b: tf.TensorInfo,
  options: ProductOptions,
): tf.TensorInfo {
  const rows = a.shape.at(options.transposeA === true ? -1 : -2)!;
  const columns = b.shape.at(options.transposeB === true ? -2 : -1)!;
  const leading = tf.broadcast_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const shape = [...leading, rows, columns];
  if (leading.every((size) => size === 1)) {
    const left = call.reference(a, a.shape.slice(-2));
    const right = call.reference(b, b.shape.slice(-2));
    return call.output(matrixProduct(call, left, right, options), shape, 'float32', [rows, columns]);
  }
  if (options.bias !== undefined) {
    throw new RangeError('got a bias for a stack of matrices, expected one for a matrix');
  }
  const operands = [a, b].map((info) => operand(call, call.reference(info)));
  const product = batchProduct(call, operands[0]!, operands[1]!, options);
  return call.output(call.graph.cast(product, call.productType, 'float32'), shape);
}
