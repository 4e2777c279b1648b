import type * as tf from '@tensorflow/tfjs-core';

/** A variable of a program, float32. */
export interface VariableSpec {
  readonly name: string;
  readonly shape: readonly number[];
}

/** A value that comes with every call. */
export interface FeedSpec {
  readonly dtype: 'float32' | 'int32';
  /** A name instead of a number is a size that varies from call to call; at most one a feed. */
  readonly shape: readonly (number | string)[];
}

/** Values of a call, row-major. */
export type FeedValues = Float32Array | Int32Array;

/** What a step gets. */
export interface StepScope<Feed extends string = string> {
  readonly feeds: Readonly<Record<Feed, tf.Tensor>>;
  /** All variables of the program by name. A step reads them, and assigns those that its signature lists. */
  readonly variables: ReadonlyMap<string, tf.Variable>;
  /** Makes the assignments of `update` only if the condition, a bool scalar, holds. */
  readonly when: (condition: tf.Tensor, update: () => void) => void;
}

/**
 * A computation over tfjs tensors: it may call whatever has a kernel, and reads no value back. Everything that differs
 * from call to call comes in as a feed or a variable; a number that JavaScript computes is the same in every call.
 */
export type Step<Feed extends string, Output extends string> = (
  scope: StepScope<Feed>,
) => Readonly<Record<Output, tf.Tensor>>;

export interface Signature<Feed extends string = string> {
  /** Names the step in its program. */
  readonly name: string;
  readonly feeds: Readonly<Record<Feed, FeedSpec>>;
  /** Variables that the step may assign. They change after everything was read. */
  readonly updates: readonly string[];
}

/** Runs a step. @returns values of the outputs, row-major */
export type CompiledStep<Feed extends string, Output extends string> = (
  feeds: Readonly<Record<Feed, FeedValues>>,
) => Readonly<Record<Output, FeedValues>>;

/**
 * Variables, and steps that compute with them: one TensorFlow graph where TensorFlow is the backend, tfjs operations
 * one by one elsewhere. Both compute the same.
 */
export interface Program {
  /** Adds variables, all zero. */
  declare(specs: readonly VariableSpec[]): void;
  /** A signature's name is compiled once: given again, it returns the step that was compiled first. */
  compile<Feed extends string, Output extends string>(
    step: Step<Feed, Output>,
    signature: Signature<Feed>,
  ): CompiledStep<Feed, Output>;
  /** Values of variables, in the order in which they were declared. */
  read(names: readonly string[]): Iterable<readonly [name: string, values: Float32Array<ArrayBuffer>]>;
  /** Gives variables new values; those of each are asked for when it is its turn. */
  write(names: readonly string[], valuesOf: (name: string) => Float32Array): void;
  /** Frees all variables; the program is of no use afterwards. */
  dispose(): void;
}

/** Shape of a feed's values. @throws RangeError when their number does not fit the signature */
export function shapeOfFeed(name: string, { shape }: FeedSpec, { length }: FeedValues): number[] {
  const fixed = shape.reduce<number>((product, size) => product * (typeof size === 'number' ? size : 1), 1);
  const varying = length / fixed;
  const isFixed = shape.every((size) => typeof size === 'number');
  if (isFixed ? length !== fixed : !Number.isInteger(varying)) {
    throw new RangeError(`feed "${name}" got ${length} values, expected the shape [${shape.join(', ')}]`);
  }
  return shape.map((size) => (typeof size === 'number' ? size : varying));
}
