import * as tf from '@tensorflow/tfjs-core';
import { differentiable } from '../ops/differentiable.ts';
import { hasKernel, KERNELS, runKernel } from '../ops/kernel.ts';

/**
 * The token-level contrastive loss (TC) of Fu, Zhou, Xu, Zhou, Li: Contextual Representation Learning beyond Masked
 * Language Modeling (ACL 2022).
 *
 * Shape suffixes: N tokens of the micro-batch (rows × length, flat), D hidden size, A anchors, K negatives of an
 * anchor, C anchors of a chunk.
 */

/** Flat token indices, int32. An anchor may occur several times. */
export interface PairTensors {
  /** [A] t1 */
  readonly anchors_A: tf.Tensor1D;
  /** [A] t2 */
  readonly positives_A: tf.Tensor1D;
  /** [A, K] tk */
  readonly negatives_AK: tf.Tensor2D;
  /** [A] factor of each anchor's loss: 1 / number of anchors for their mean, 0 for filling. */
  readonly weights_A: tf.Tensor1D;
}

export interface TokenContrastiveOptions {
  /** τ, above 0 */
  readonly temperature: number;
}

export interface TokenContrastiveResult {
  /** Σ weight · ℓ over the anchors; 0 when there is none. Differentiable. */
  readonly loss: tf.Scalar;
  /** How many anchors of positive weight are nearer to their positive than to each negative. Not differentiable. */
  readonly numCorrect: tf.Scalar;
}

/** Smallest norm to divide by: the ε of `torch.nn.functional.cosine_similarity`. */
const minNorm = 1e-8;

/**
 * Bytes of gathered negatives that exist at a time. [A, K, D] as a whole is 210 MB at A = 2048, K = 50, D = 512;
 * chunks of this size stay in the processor's cache, and smaller ones only add calls.
 */
const chunkBytes = 8 * 2 ** 20;

/**
 * TC of one micro-batch:
 *
 *     g_i = h_i − x_i
 *     ℓ(t1) = −log  e^{cos(g_t1, g_t2)/τ} / ( e^{cos(g_t1, g_t2)/τ} + Σ_k e^{cos(g_t1, g_tk)/τ} )
 *     loss  = Σ weight · ℓ over the anchors, their mean as a rule
 *
 * Positives and negatives are constants to the gradient: only the anchors' g pass it on, to h as it is and to x
 * negated. With the softmax s over the K + 1 similarities of an anchor and u = g/‖g‖ that gradient is closed,
 *
 *     ∂ℓ/∂u_t1 = ( Σ_j s_j u_j − u_t2 ) / τ        ∂ℓ/∂g_t1 = ( ∂ℓ/∂u − (∂ℓ/∂u · u) u ) / ‖g‖
 *
 * and is made in the same pass over the gathered rows as the loss, so nothing of size [A, K, D] is ever kept.
 * The sizes alone decide the operations: the call can be traced into a graph.
 *
 * @param hidden_ND h, the encoder's output
 * @param embedded_ND x, the embeddings that went into the encoder
 */
export function tokenContrastiveLoss(
  hidden_ND: tf.Tensor2D,
  embedded_ND: tf.Tensor2D,
  pairs: PairTensors,
  { temperature }: TokenContrastiveOptions,
): TokenContrastiveResult {
  return tf.tidy(() => {
    let kept: tf.Scalar | undefined;
    const loss = differentiable<tf.Scalar>([hidden_ND, embedded_ND], (save) => {
      const { loss, numCorrect, gradient_ND } = lossAndGradient(hidden_ND, embedded_ND, pairs, temperature);
      kept = tf.keep(numCorrect);
      save([gradient_ND]);
      return {
        value: loss,
        gradient: (dy, saved) => {
          const toHidden_ND = tf.mul(saved[0]!, dy);
          return [toHidden_ND, tf.neg(toHidden_ND)];
        },
      };
    });
    // A differentiable operation returns one tensor: the second leaves it by being kept and joins this scope as a clone.
    const numCorrect = tf.clone(kept!);
    kept!.dispose();
    return { loss, numCorrect };
  });
}

interface LossAndGradient {
  readonly loss: tf.Scalar;
  readonly numCorrect: tf.Scalar;
  /** ∂loss/∂g; zero for tokens that are no anchor. */
  readonly gradient_ND: tf.Tensor2D;
}

function lossAndGradient(
  hidden_ND: tf.Tensor2D,
  embedded_ND: tf.Tensor2D,
  { anchors_A, positives_A, negatives_AK, weights_A }: PairTensors,
  temperature: number,
): LossAndGradient {
  const [numTokens, hiddenSize] = hidden_ND.shape;
  const [numAnchors, numNegatives] = negatives_AK.shape;
  if (numAnchors === 0) {
    return { loss: tf.scalar(0), numCorrect: tf.scalar(0), gradient_ND: tf.zeros([numTokens, hiddenSize]) };
  }
  const semantics_ND = tf.sub(hidden_ND, embedded_ND);
  const norm_N1 = tf.maximum<tf.Tensor2D>(
    tf.sqrt(tf.sum(tf.square(semantics_ND), 1, true)),
    tf.scalar(minNorm),
  );
  const unit_ND = tf.div<tf.Tensor2D>(semantics_ND, norm_N1);
  const flatNegatives: tf.Tensor1D = tf.reshape(negatives_AK, [numAnchors * numNegatives]);

  const chunkSize = hasKernel(KERNELS.contrast)
    ? numAnchors
    : Math.max(1, Math.floor(chunkBytes / (4 * numNegatives * hiddenSize)));
  const chunks: ChunkResult[] = [];
  for (let start = 0; start < numAnchors; start += chunkSize) {
    const size = Math.min(chunkSize, numAnchors - start);
    chunks.push(
      tf.tidy(() =>
        contrastChunk(
          unit_ND,
          norm_N1,
          {
            anchors_C: tf.slice(anchors_A, start, size),
            positives_C: tf.slice(positives_A, start, size),
            negatives_CK: tf.slice(flatNegatives, start * numNegatives, size * numNegatives),
            weights_C: tf.slice(weights_A, start, size),
          },
          temperature,
        ),
      ),
    );
  }

  const anchorGradient_AD = concatRows(chunks.map(({ gradient_CD }) => gradient_CD));
  return {
    loss: tf.sum(tf.stack(chunks.map(({ loss }) => loss))),
    numCorrect: tf.sum(tf.stack(chunks.map(({ numCorrect }) => numCorrect))),
    gradient_ND: tf.scatterND(tf.expandDims(anchors_A, 1), anchorGradient_AD, [numTokens, hiddenSize]),
  };
}

function concatRows(parts: readonly tf.Tensor2D[]): tf.Tensor2D {
  return parts.length === 1 ? parts[0]! : tf.concat([...parts], 0);
}

/** A type and not an interface: tidy wants an index signature. */
type ChunkResult = {
  /** Σ weight · ℓ over the chunk. */
  readonly loss: tf.Scalar;
  readonly numCorrect: tf.Scalar;
  /** weight · ∂ℓ/∂g of each anchor. */
  readonly gradient_CD: tf.Tensor2D;
};

/** Flat indices of a chunk's tokens, and its weights. */
interface ChunkPairs {
  readonly anchors_C: tf.Tensor1D;
  readonly positives_C: tf.Tensor1D;
  /** Flat: K for each anchor. */
  readonly negatives_CK: tf.Tensor1D;
  readonly weights_C: tf.Tensor1D;
}

function contrastChunk(
  unit_ND: tf.Tensor2D,
  norm_N1: tf.Tensor2D,
  pairs: ChunkPairs,
  temperature: number,
): ChunkResult {
  const anchor_CD = tf.gather(unit_ND, pairs.anchors_C);
  const compare = hasKernel(KERNELS.contrast) ? fusedComparison : composedComparison;
  const { loss_C1, isNearest_C1, toUnit_CD } = compare(unit_ND, anchor_CD, pairs, temperature);
  const along_C1 = tf.sum(tf.mul(toUnit_CD, anchor_CD), 1, true);
  const across_CD = tf.sub(toUnit_CD, tf.mul(anchor_CD, along_C1));
  const weight_C1 = tf.reshape(pairs.weights_C, [-1, 1]);
  const factor_C1 = tf.div(
    tf.mul(weight_C1, tf.scalar(1 / temperature)),
    tf.gather(norm_N1, pairs.anchors_C),
  );
  const isCorrect_C1 = tf.logicalAnd(isNearest_C1, tf.greater(weight_C1, 0));
  return {
    loss: tf.sum(tf.mul(loss_C1, weight_C1)),
    numCorrect: tf.sum(tf.cast(isCorrect_C1, 'float32')),
    gradient_CD: tf.mul<tf.Tensor2D>(across_CD, factor_C1),
  };
}

interface Comparison {
  /** ℓ */
  readonly loss_C1: tf.Tensor;
  /** Whether the positive is nearer than each negative. */
  readonly isNearest_C1: tf.Tensor;
  /** τ · ∂ℓ/∂u */
  readonly toUnit_CD: tf.Tensor;
}

function fusedComparison(
  unit: tf.Tensor2D,
  _anchor_CD: tf.Tensor2D,
  { anchors_C, positives_C, negatives_CK }: ChunkPairs,
  temperature: number,
): Comparison {
  const negatives = tf.reshape(negatives_CK, [anchors_C.size, -1]);
  const inputs = { unit, anchors: anchors_C, positives: positives_C, negatives };
  const [loss_C1, hits_C1, toUnit_CD] = runKernel(KERNELS.contrast, inputs, {
    inverseTemperature: 1 / temperature,
  });
  return { loss_C1: loss_C1!, isNearest_C1: tf.greater(hits_C1!, 0), toUnit_CD: toUnit_CD! };
}

function composedComparison(
  unit_ND: tf.Tensor2D,
  anchor_CD: tf.Tensor2D,
  pairs: ChunkPairs,
  temperature: number,
): Comparison {
  const [size, hiddenSize] = anchor_CD.shape;
  const numNegatives = pairs.negatives_CK.shape[0] / size;
  const inverseTemperature = tf.scalar(1 / temperature);

  const positive_CD = tf.gather(unit_ND, pairs.positives_C);
  const negative_CKD = tf.reshape(tf.gather(unit_ND, pairs.negatives_CK), [size, numNegatives, hiddenSize]);

  const positive_C1 = tf.mul<tf.Tensor2D>(
    tf.sum(tf.mul(anchor_CD, positive_CD), 1, true),
    inverseTemperature,
  );
  const negative_CK = tf.mul<tf.Tensor2D>(
    tf.reshape(tf.matMul(negative_CKD, tf.reshape(anchor_CD, [size, hiddenSize, 1])), [size, numNegatives]),
    inverseTemperature,
  );

  // log Σ e^z = max + log Σ e^(z − max): no exponential overflows, and one of them is 1.
  const highestNegative_C1 = tf.max<tf.Tensor2D>(negative_CK, 1, true);
  const highest_C1 = tf.maximum<tf.Tensor2D>(positive_C1, highestNegative_C1);
  const positiveExp_C1 = tf.exp(tf.sub(positive_C1, highest_C1));
  const negativeExp_CK = tf.exp(tf.sub(negative_CK, highest_C1));
  const total_C1 = tf.add(positiveExp_C1, tf.sum(negativeExp_CK, 1, true));

  const positiveError_C1 = tf.sub(tf.div(positiveExp_C1, total_C1), tf.scalar(1));
  const negativeShare_CK = tf.div<tf.Tensor2D>(negativeExp_CK, total_C1);
  return {
    loss_C1: tf.sub(tf.add(tf.log(total_C1), highest_C1), positive_C1),
    isNearest_C1: tf.greater(positive_C1, highestNegative_C1),
    toUnit_CD: tf.add(
      tf.mul(positive_CD, positiveError_C1),
      tf.reshape(tf.matMul(tf.reshape(negativeShare_CK, [size, 1, numNegatives]), negative_CKD), [
        size,
        hiddenSize,
      ]),
    ),
  };
}
