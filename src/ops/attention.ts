import * as tf from '@tensorflow/tfjs-core';
import { differentiable } from './differentiable.ts';
import { applyDropout, type DropoutSource } from './dropout.ts';
import { hasKernel, KERNELS, runKernel } from './kernel.ts';

export interface AttentionOptions {
  /** B */
  readonly batchSize: number;
  /** L */
  readonly maxSeqLen: number;
  /** A */
  readonly numHeads: number;
  /** [B, 1, 1, L] added to the scores: 0 for tokens, very negative for padding; undefined without padding. */
  readonly scoreBias?: tf.Tensor | undefined;
  /** Dropout of the attention probabilities; undefined outside training. */
  readonly dropout?: DropoutSource | undefined;
}

/**
 * Multi-head scaled dot-product attention (Vaswani et al. 2017, eq. 1): dropout(softmax(Q·Kᵀ/√D + bias))·V for each
 * head of width D = H / A.
 * @param qkv_N3H [B * L, 3 * H] queries, keys and values side by side, heads one after another within each
 * @returns [B * L, H]
 */
export function attention(qkv_N3H: tf.Tensor, options: AttentionOptions): tf.Tensor2D {
  const { scoreBias } = options;
  return differentiable([qkv_N3H], (save) => {
    if (hasKernel(KERNELS.attention)) {
      const optional = {
        ...(scoreBias === undefined ? {} : { scoreBias }),
        ...(options.dropout === undefined ? {} : { seed: options.dropout.seed }),
      };
      const inputs = { qkv: qkv_N3H, ...optional };
      const [context_NH, probs_BALL] = runKernel(KERNELS.attention, inputs, attributesOf(options));
      save([qkv_N3H, probs_BALL!, ...seedsOf(options)]);
      return {
        value: context_NH as tf.Tensor2D,
        gradient: (dContext, [qkv, probs, seed]) => {
          const saved = { dContext, qkv: qkv!, probs: probs!, ...(seed === undefined ? {} : { seed }) };
          return runKernel(KERNELS.attentionGradient, saved, attributesOf(options));
        },
      };
    }
    const { query, key, value, scale } = splitHeads(qkv_N3H, options);
    const scores_BALL = tf.mul(tf.matMul(query, key, false, true), scale);
    const probs_BALL = tf.softmax(scoreBias === undefined ? scores_BALL : tf.add(scores_BALL, scoreBias));
    const context_BALD = tf.matMul(applyDropout(probs_BALL, options.dropout), value);
    save([qkv_N3H, probs_BALL, ...seedsOf(options)]);
    return {
      value: joinHeads(context_BALD, options),
      gradient: (dy, [qkv, probs, seed]) => {
        const source = seed === undefined ? undefined : { ...options.dropout!, seed };
        return [attentionGradient(dy, qkv!, probs!, { ...options, dropout: source })];
      },
    };
  });
}

function attentionGradient(
  dContext_NH: tf.Tensor,
  qkv_N3H: tf.Tensor,
  probs_BALL: tf.Tensor,
  options: AttentionOptions,
): tf.Tensor {
  const { batchSize, maxSeqLen, numHeads } = options;
  const { query, key, value, scale, headSize } = splitHeads(qkv_N3H, options);
  const dContext_BALD = tf.transpose(
    tf.reshape(dContext_NH, [batchSize, maxSeqLen, numHeads, headSize]),
    [0, 2, 1, 3],
  );
  const dValue = tf.matMul(applyDropout(probs_BALL, options.dropout), dContext_BALD, true, false);
  const dProbs_BALL = applyDropout(tf.matMul(dContext_BALD, value, false, true), options.dropout);
  const weighted_BALL = tf.mul(dProbs_BALL, probs_BALL);
  const dScores_BALL = tf.mul(
    tf.sub(weighted_BALL, tf.mul(probs_BALL, tf.sum(weighted_BALL, -1, true))),
    scale,
  );
  const dQuery = tf.matMul(dScores_BALL, key);
  const dKey = tf.matMul(dScores_BALL, query, true, false);
  return tf.reshape(tf.transpose(tf.stack([dQuery, dKey, dValue]), [1, 3, 0, 2, 4]), [
    batchSize * maxSeqLen,
    3 * numHeads * headSize,
  ]);
}

/** The seed of dropout, if there is one, among tensors to save. */
function seedsOf({ dropout }: AttentionOptions): tf.Tensor[] {
  return dropout === undefined ? [] : [dropout.seed];
}

function attributesOf({ batchSize, maxSeqLen, numHeads, dropout }: AttentionOptions) {
  return { batchSize, maxSeqLen, numHeads, rate: dropout?.rate ?? 0, site: dropout?.site ?? 0 };
}

interface Heads {
  /** [B, A, L, D] each. */
  readonly query: tf.Tensor;
  readonly key: tf.Tensor;
  readonly value: tf.Tensor;
  /** D */
  readonly headSize: number;
  /** 1 / √D */
  readonly scale: number;
}

function splitHeads(qkv_N3H: tf.Tensor, { batchSize, maxSeqLen, numHeads }: AttentionOptions): Heads {
  const headSize = qkv_N3H.shape[1]! / (3 * numHeads);
  const qkv_3BALD = tf.transpose(
    tf.reshape(qkv_N3H, [batchSize, maxSeqLen, 3, numHeads, headSize]),
    [2, 0, 3, 1, 4],
  );
  const [query, key, value] = tf.unstack(qkv_3BALD);
  return { query: query!, key: key!, value: value!, headSize, scale: 1 / Math.sqrt(headSize) };
}

function joinHeads(x_BALD: tf.Tensor, { batchSize, maxSeqLen }: AttentionOptions): tf.Tensor2D {
  return tf.reshape<tf.Rank.R2>(tf.transpose(x_BALD, [0, 2, 1, 3]), [batchSize * maxSeqLen, -1]);
}
