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

/** Running averages of one parameter, both of its shape. */
export interface AdamWSlots {
  /** m, of the gradient. */
  readonly firstMoment: tf.Variable;
  /** v, of the gradient's square. */
  readonly secondMoment: tf.Variable;
}

/**
 * Everything about an update that changes from step to step. Scalars and not numbers, so that a step traced into
 * a graph reads them as inputs instead of freezing the first step's values.
 */
export interface AdamWInputs {
  /** η √(1 − β₂ᵗ) / (1 − β₁ᵗ) */
  readonly stepSize: tf.Scalar;
  /** ε √(1 − β₂ᵗ) */
  readonly epsilon: tf.Scalar;
  /** 1 − ηλ */
  readonly keep: tf.Scalar;
  /** Factor for all gradients: clipping, and one over the number of accumulated micro-batches. */
  readonly gradientScale: tf.Scalar;
}

export interface AdamWStep {
  readonly learningRate: number;
  /** Updates made before this one: 0 for the first. */
  readonly step: number;
  /** Factor for all gradients, scalar; 1 when absent. */
  readonly gradientScale?: tf.Scalar;
}

/**
 * AdamW (Loshchilov, Hutter: Decoupled Weight Decay Regularization, ICLR 2019) with `torch.optim.AdamW`'s update,
 * t counted from 1:
 *
 *     m ← β₁ m + (1 − β₁) g      v ← β₂ v + (1 − β₂) g²
 *     θ ← (1 − ηλ) θ − η · m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + ε)
 *
 * The bias corrections are moved into step size and ε, which saves two passes over every parameter.
 */
export class AdamW {
  readonly slots: ReadonlyMap<string, AdamWSlots>;
  readonly #parameters: ReadonlyMap<string, tf.Variable>;
  readonly #options: AdamWOptions;

  /** The slots are made here, not at the first step, so that a traced step finds them. */
  constructor(parameters: ReadonlyMap<string, tf.Variable>, options: AdamWOptions) {
    this.#parameters = parameters;
    this.#options = options;
    this.slots = new Map(
      Array.from(parameters, ([name, parameter]) => [
        name,
        { firstMoment: zeroVariable(parameter.shape), secondMoment: zeroVariable(parameter.shape) },
      ]),
    );
  }

  /** One update of all parameters and slots, in place. The gradients stay the caller's. */
  update(gradients: ReadonlyMap<string, tf.Tensor>, step: AdamWStep): void {
    const { beta1, beta2, epsilon, weightDecay } = this.#options;
    const t = step.step + 1;
    const correction2 = Math.sqrt(1 - beta2 ** t);
    tf.tidy(() => {
      this.apply(gradients, {
        stepSize: tf.scalar((step.learningRate * correction2) / (1 - beta1 ** t)),
        epsilon: tf.scalar(epsilon * correction2),
        keep: tf.scalar(1 - step.learningRate * weightDecay),
        gradientScale: step.gradientScale ?? tf.scalar(1),
      });
    });
  }

  /** The update itself, on scalars: no number of this step is known to it. */
  apply(gradients: ReadonlyMap<string, tf.Tensor>, inputs: AdamWInputs): void {
    const { beta1, beta2 } = this.#options;
    const isDecayed = this.#options.decays;
    tf.tidy(() => {
      const undecayed = tf.scalar(1);
      const scale1 = tf.mul<tf.Scalar>(inputs.gradientScale, 1 - beta1);
      const scale2 = tf.mul<tf.Scalar>(tf.square(inputs.gradientScale), 1 - beta2);
      for (const [name, parameter] of this.#parameters) {
        const gradient = gradients.get(name);
        const slots = this.slots.get(name);
        if (gradient === undefined || slots === undefined)
          throw new Error(`no gradient for parameter ${name}`);
        tf.tidy(() => {
          const keep = isDecayed(name) ? inputs.keep : undecayed;
          const update = hasKernel(KERNELS.adamW) ? fusedUpdate : composedUpdate;
          const [updated, first, second] = update(
            { parameter, gradient, ...slots },
            { ...inputs, keep, scale1, scale2 },
            { beta1, beta2 },
          );
          slots.firstMoment.assign(first!);
          slots.secondMoment.assign(second!);
          parameter.assign(updated!);
        });
      }
    });
  }

  dispose(): void {
    for (const { firstMoment, secondMoment } of this.slots.values()) tf.dispose([firstMoment, secondMoment]);
  }
}

function zeroVariable(shape: number[]): tf.Variable {
  return tf.tidy(() => tf.variable(tf.zeros(shape), false));
}

interface ParameterState extends AdamWSlots {
  readonly parameter: tf.Tensor;
  readonly gradient: tf.Tensor;
}

interface UpdateScalars {
  readonly stepSize: tf.Scalar;
  readonly epsilon: tf.Scalar;
  readonly keep: tf.Scalar;
  /** (1 − β₁) · gradient scale */
  readonly scale1: tf.Scalar;
  /** (1 − β₂) · gradient scale² */
  readonly scale2: tf.Scalar;
}

/** New parameter, first and second moment of one parameter. */
function composedUpdate(
  { parameter, gradient, firstMoment, secondMoment }: ParameterState,
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
  { parameter, gradient, firstMoment, secondMoment }: ParameterState,
  { stepSize, epsilon, keep, scale1, scale2 }: UpdateScalars,
  { beta1, beta2 }: { readonly beta1: number; readonly beta2: number },
): tf.Tensor[] {
  const inputs = { parameter, gradient, firstMoment, secondMoment };
  return runKernel(KERNELS.adamW, { ...inputs, stepSize, epsilon, keep, scale1, scale2 }, { beta1, beta2 });
}
