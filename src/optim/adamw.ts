import * as tf from '@tensorflow/tfjs-core';
import { hasKernel, KERNELS, runKernel } from '../ops/kernel.ts';

/** The names of `torch.optim.AdamW`. */
export interface AdamWOptions {
  /** λ, for the parameters that decay. */
  readonly weightDecay: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Which parameters decay; the original scripts leave biases and LayerNorm alone. */
  readonly decays: (name: string) => boolean;
}

/** A parameter and its running averages, all of one shape. */
export interface AdamWState {
  readonly parameter: tf.Variable;
  /** m, of the gradient. */
  readonly firstMoment: tf.Variable;
  /** v, of the gradient's square. */
  readonly secondMoment: tf.Variable;
}

/** What an update takes from its number and learning rate. */
export interface AdamWScalars<Value> {
  /** η √(1 − β₂ᵗ) / (1 − β₁ᵗ) */
  readonly stepSize: Value;
  /** ε √(1 − β₂ᵗ) */
  readonly epsilon: Value;
  /** 1 − ηλ */
  readonly keep: Value;
}

/**
 * Everything about an update that changes from step to step. Scalar tensors and not numbers, so that a step traced into
 * a graph reads them as inputs instead of freezing the first step's values.
 */
export interface AdamWInputs extends AdamWScalars<tf.Scalar> {
  /** Factor for all gradients: clipping, and whatever undoes a scale of the loss. */
  readonly gradientScale: tf.Scalar;
}

/**
 * The scalars of one update.
 * @param step updates made before this one: 0 for the first
 */
export function adamWScalars(
  learningRate: number,
  step: number,
  { beta1, beta2, epsilon, weightDecay }: Omit<AdamWOptions, 'decays'>,
): AdamWScalars<number> {
  const t = step + 1;
  const correction1 = 1 - Math.fround(beta1) ** t;
  const correction2 = Math.sqrt(1 - Math.fround(beta2) ** t);
  return {
    stepSize: (learningRate * correction2) / correction1,
    epsilon: epsilon * correction2,
    keep: 1 - learningRate * weightDecay,
  };
}

/**
 * One update of AdamW (Loshchilov, Hutter: Decoupled Weight Decay Regularization, ICLR 2019) as `torch.optim.AdamW`
 * makes it, of all parameters and averages in place, t counted from 1:
 *
 *     m ← β₁ m + (1 − β₁) g      v ← β₂ v + (1 − β₂) g²
 *     θ ← (1 − ηλ) θ − η · m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + ε)
 *
 * The bias corrections are moved into step size and ε, which saves two passes over every parameter. The gradients stay
 * the caller's.
 */
export function applyAdamW(
  states: ReadonlyMap<string, AdamWState>,
  gradients: ReadonlyMap<string, tf.Tensor>,
  inputs: AdamWInputs,
  { decays, ...betas }: Pick<AdamWOptions, 'beta1' | 'beta2' | 'decays'>,
): void {
  // As float32 kernels have them: 1 − β₂ is then the same everywhere, and the corrections above are those of it.
  const beta1 = Math.fround(betas.beta1);
  const beta2 = Math.fround(betas.beta2);
  tf.tidy(() => {
    const undecayed = tf.scalar(1);
    const scale1 = tf.mul<tf.Scalar>(inputs.gradientScale, 1 - beta1);
    const scale2 = tf.mul<tf.Scalar>(tf.square(inputs.gradientScale), 1 - beta2);
    for (const [name, state] of states) {
      const gradient = gradients.get(name);
      if (gradient === undefined) throw new Error(`no gradient for parameter ${name}`);
      tf.tidy(() => {
        const keep = decays(name) ? inputs.keep : undecayed;
        const update = hasKernel(KERNELS.adamW) ? fusedUpdate : composedUpdate;
        const scalars = { ...inputs, keep, scale1, scale2 };
        const [updated, first, second] = update({ ...state, gradient }, scalars, { beta1, beta2 });
        state.firstMoment.assign(first!);
        state.secondMoment.assign(second!);
        state.parameter.assign(updated!);
      });
    }
  });
}

interface Operands {
  readonly parameter: tf.Tensor;
  readonly gradient: tf.Tensor;
  readonly firstMoment: tf.Tensor;
  readonly secondMoment: tf.Tensor;
}

interface UpdateScalars extends AdamWInputs {
  /** (1 − β₁) · gradient scale */
  readonly scale1: tf.Scalar;
  /** (1 − β₂) · gradient scale² */
  readonly scale2: tf.Scalar;
}

/** New parameter, first and second moment of one parameter. */
function composedUpdate(
  { parameter, gradient, firstMoment, secondMoment }: Operands,
  { stepSize, epsilon, keep, scale1, scale2 }: UpdateScalars,
  { beta1, beta2 }: { readonly beta1: number; readonly beta2: number },
): tf.Tensor[] {
  const first = tf.add(tf.mul(firstMoment, beta1), tf.mul(gradient, scale1));
  const second = tf.add(tf.mul(secondMoment, beta2), tf.mul(tf.square(gradient), scale2));
  const direction = tf.div(first, tf.add(tf.sqrt(second), epsilon));
  return [tf.sub(tf.mul(parameter, keep), tf.mul(direction, stepSize)), first, second];
}

/** The same in one pass over memory. */
function fusedUpdate(
  { parameter, gradient, firstMoment, secondMoment }: Operands,
  { gradientScale, stepSize, epsilon, keep, scale1, scale2 }: UpdateScalars,
  { beta1, beta2 }: { readonly beta1: number; readonly beta2: number },
): tf.Tensor[] {
  const tensors = { parameter, gradient, firstMoment, secondMoment };
  const scalars = { gradientScale, stepSize, epsilon, keep, scale1, scale2 };
  return runKernel(KERNELS.adamW, { ...tensors, ...scalars }, { beta1, beta2 });
}
