import * as tf from '@tensorflow/tfjs-core';
import { differentiable } from './differentiable.ts';

/**
 * Rows of a table. The backward pass adds the gradients up by row (UnsortedSegmentSum), densely.
 * @param table_VH [V, H]
 * @param ids_N int32 [N]
 * @param paddingId id whose row gets no gradient, as in `torch.nn.Embedding(padding_idx)`
 * @returns [N, H]
 */
export function embeddingLookup(table_VH: tf.Tensor2D, ids_N: tf.Tensor, paddingId?: number): tf.Tensor2D {
  const [numRows] = table_VH.shape;
  return differentiable([table_VH], (save) => {
    save([ids_N]);
    return {
      value: tf.gather<tf.Tensor2D>(table_VH, ids_N),
      gradient: (dy_NH, [ids]) => [tf.unsortedSegmentSum(dy_NH, segments(ids!, paddingId), numRows)],
    };
  });
}

/** UnsortedSegmentSum leaves negative segments out. */
function segments(ids_N: tf.Tensor, paddingId: number | undefined): tf.Tensor1D {
  if (paddingId === undefined) return tf.reshape<tf.Rank.R1>(ids_N, [-1]);
  const padding = tf.equal(ids_N, tf.scalar(paddingId, 'int32'));
  return tf.where<tf.Tensor>(padding, tf.scalar(-1, 'int32'), ids_N) as tf.Tensor1D;
}

/**
 * Some rows of a matrix; the backward pass puts their gradients back and zeros elsewhere.
 * @param x_NH [N, H]
 * @param rows_M int32 [M]
 * @returns [M, H]
 */
export function gatherRows(x_NH: tf.Tensor2D, rows_M: tf.Tensor): tf.Tensor2D {
  return embeddingLookup(x_NH, rows_M);
}

/**
 * Rows in other places, some of which may stay empty: y[n] = x[source[n]]. The backward pass is a gather too, and
 * right as long as the gradient of empty places is zero: they hold a copy of whatever row `source` names.
 * @param x_TH [T, H]
 * @param source_N int32 [N] the row for each place
 * @param place_T int32 [T] the place of each row
 * @returns [N, H]
 */
export function placeRows(x_TH: tf.Tensor2D, source_N: tf.Tensor, place_T: tf.Tensor): tf.Tensor2D {
  return differentiable([x_TH], (save) => {
    save([place_T]);
    return {
      value: tf.gather<tf.Tensor2D>(x_TH, source_N),
      gradient: (dy_NH, [place]) => [tf.gather(dy_NH, place!)],
    };
  });
}
