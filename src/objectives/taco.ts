import * as tf from '@tensorflow/tfjs-core';
import { differentiable } from '../ops/differentiable.ts';
import { hasKernel, KERNELS, runKernel } from '../ops/kernel.ts';

/**
 * The token-level contrastive loss (TC) of Fu, Zhou, Xu, Zhou, Li: Contextual Representation Learning beyond Masked
 * Language Modeling (ACL 2022).
 *
 * Shape suffixes: N tokens of the micro-batch (rows × length, flat), D hidden size, A anchors, K negatives of an
 * anchor.
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
 * and is made in the same pass over the gathered rows as the loss: backends that train have a kernel for it, which keeps
 * nothing of size [A, K, D].
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
  pairs: PairTensors,
  temperature: number,
): LossAndGradient {
  const { anchors_A, negatives_AK, weights_A } = pairs;
  const [numTokens, hiddenSize] = hidden_ND.shape;
  if (negatives_AK.shape[0] === 0) {
    return { loss: tf.scalar(0), numCorrect: tf.scalar(0), gradient_ND: tf.zeros([numTokens, hiddenSize]) };
  }
  const semantics_ND = tf.sub(hidden_ND, embedded_ND);
  const norm_N1 = tf.maximum<tf.Tensor2D>(
    tf.sqrt(tf.sum(tf.square(semantics_ND), 1, true)),
    tf.scalar(minNorm),
  );
  const unit_ND = tf.div<tf.Tensor2D>(semantics_ND, norm_N1);
  const compare = hasKernel(KERNELS.contrast) ? fusedComparison : composedComparison;
  const { loss_A1, isNearest_A1, toUnit_AD } = compare(unit_ND, pairs, temperature);

  const anchor_AD = tf.gather(unit_ND, anchors_A);
  const along_A1 = tf.sum(tf.mul(toUnit_AD, anchor_AD), 1, true);
  const across_AD = tf.sub(toUnit_AD, tf.mul(anchor_AD, along_A1));
  const weight_A1 = tf.reshape(weights_A, [-1, 1]);
  const factor_A1 = tf.div(tf.mul(weight_A1, tf.scalar(1 / temperature)), tf.gather(norm_N1, anchors_A));
  const isCorrect_A1 = tf.logicalAnd(isNearest_A1, tf.greater(weight_A1, 0));
  return {
    loss: tf.sum(tf.mul(loss_A1, weight_A1)),
    numCorrect: tf.sum(tf.cast(isCorrect_A1, 'float32')),
    gradient_ND: tf.scatterND(tf.expandDims(anchors_A, 1), tf.mul(across_AD, factor_A1), [
      numTokens,
      hiddenSize,
    ]),
  };
}

interface Comparison {
  /** ℓ */
  readonly loss_A1: tf.Tensor;
  /** Whether the positive is nearer than each negative. */
  readonly isNearest_A1: tf.Tensor;
  /** τ · ∂ℓ/∂u */
  readonly toUnit_AD: tf.Tensor;
}

function fusedComparison(
  unit: tf.Tensor2D,
  { anchors_A, positives_A, negatives_AK }: PairTensors,
  temperature: number,
): Comparison {
  const inputs = { unit, anchors: anchors_A, positives: positives_A, negatives: negatives_AK };
  const [loss_A1, hits_A1, toUnit_AD] = runKernel(KERNELS.contrast, inputs, {
    inverseTemperature: 1 / temperature,
  });
  return { loss_A1: loss_A1!, isNearest_A1: tf.greater(hits_A1!, 0), toUnit_AD: toUnit_AD! };
}

function composedComparison(
  unit_ND: tf.Tensor2D,
  { anchors_A, positives_A, negatives_AK }: PairTensors,
  temperature: number,
): Comparison {
  const [numAnchors, numNegatives] = negatives_AK.shape;
  const [, hiddenSize] = unit_ND.shape;
  const inverseTemperature = tf.scalar(1 / temperature);

  const anchor_AD = tf.gather(unit_ND, anchors_A);
  const positive_AD = tf.gather(unit_ND, positives_A);
  const negative_AKD = tf.gather(unit_ND, negatives_AK);

  const positive_A1 = tf.mul<tf.Tensor2D>(
    tf.sum(tf.mul(anchor_AD, positive_AD), 1, true),
    inverseTemperature,
  );
  const product_AK1 = tf.matMul(negative_AKD, tf.reshape(anchor_AD, [numAnchors, hiddenSize, 1]));
  const negative_AK = tf.mul<tf.Tensor2D>(
    tf.reshape(product_AK1, [numAnchors, numNegatives]),
    inverseTemperature,
  );

  // log Σ e^z = max + log Σ e^(z − max): no exponential overflows, and one of them is 1.
  const highestNegative_A1 = tf.max<tf.Tensor2D>(negative_AK, 1, true);
  const highest_A1 = tf.maximum<tf.Tensor2D>(positive_A1, highestNegative_A1);
  const positiveExp_A1 = tf.exp(tf.sub(positive_A1, highest_A1));
  const negativeExp_AK = tf.exp(tf.sub(negative_AK, highest_A1));
  const total_A1 = tf.add(positiveExp_A1, tf.sum(negativeExp_AK, 1, true));

  const positiveError_A1 = tf.sub(tf.div(positiveExp_A1, total_A1), tf.scalar(1));
  const negativeShare_AK = tf.div<tf.Tensor2D>(negativeExp_AK, total_A1);
  const fromNegatives_A1D = tf.matMul(
    tf.reshape(negativeShare_AK, [numAnchors, 1, numNegatives]),
    negative_AKD,
  );
  return {
    loss_A1: tf.sub(tf.add(tf.log(total_A1), highest_A1), positive_A1),
    isNearest_A1: tf.greater(positive_A1, highestNegative_A1),
    toUnit_AD: tf.add(
      tf.mul(positive_AD, positiveError_A1),
      tf.reshape(fromNegatives_A1D, [numAnchors, hiddenSize]),
    ),
  };
}
