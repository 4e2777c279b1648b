import * as tf from '@tensorflow/tfjs-core';
import {
  type CompiledStep,
  type FeedSpec,
  type FeedValues,
  type Program,
  type Signature,
  type Step,
  shapeOfFeed,
  type VariableSpec,
} from './program.ts';

/** A program whose steps run operation by operation on the tfjs backend in use. */
export class EagerProgram implements Program {
  readonly #variables = new Map<string, tf.Variable>();
  readonly #steps = new Map<string, CompiledStep<string, string>>();

  declare(specs: readonly VariableSpec[]): void {
    for (const { name, shape } of specs) {
      if (this.#variables.has(name)) throw new RangeError(`the program has a variable "${name}" already`);
      this.#variables.set(
        name,
        tf.tidy(() => tf.variable(tf.zeros([...shape]))),
      );
    }
  }

  compile<Feed extends string, Output extends string>(
    step: Step<Feed, Output>,
    signature: Signature<Feed>,
  ): CompiledStep<Feed, Output> {
    const known = this.#steps.get(signature.name);
    if (known !== undefined) return known;
    const compiled: CompiledStep<Feed, Output> = (feeds) => this.#run(step, signature, feeds);
    this.#steps.set(signature.name, compiled);
    return compiled;
  }

  *read(names: readonly string[]): Iterable<readonly [string, Float32Array<ArrayBuffer>]> {
    const wanted = new Set(names);
    for (const [name, variable] of this.#variables) {
      if (wanted.has(name)) yield [name, new Float32Array(variable.dataSync<'float32'>())];
    }
  }

  write(names: readonly string[], valuesOf: (name: string) => Float32Array): void {
    for (const name of names) {
      const variable = this.#variables.get(name);
      if (variable === undefined) throw new RangeError(`the program has no variable "${name}"`);
      tf.tidy(() => {
        variable.assign(tf.tensor(valuesOf(name), variable.shape));
      });
    }
  }

  dispose(): void {
    for (const variable of this.#variables.values()) variable.dispose();
    this.#variables.clear();
    this.#steps.clear();
  }

  #run<Feed extends string, Output extends string>(
    step: Step<Feed, Output>,
    signature: Signature<Feed>,
    values: Readonly<Record<Feed, FeedValues>>,
  ): Readonly<Record<Output, FeedValues>> {
    const engine = tf.engine();
    engine.startScope();
    try {
      const feeds = Object.fromEntries(
        Object.entries<FeedSpec>(signature.feeds).map(([name, spec]) => {
          const given = values[name as Feed];
          return [name, tf.tensor(given, shapeOfFeed(name, spec, given), spec.dtype)];
        }),
      ) as Record<Feed, tf.Tensor>;
      const outputs = step({ feeds, variables: this.#variables, when });
      const results = Object.entries<tf.Tensor>(outputs).map(([name, tensor]) => [
        name,
        tensor.dataSync<'float32'>().slice(),
      ]);
      return Object.fromEntries(results) as Readonly<Record<Output, FeedValues>>;
    } finally {
      engine.endScope();
    }
  }
}

function when(condition: tf.Tensor, update: () => void): void {
  if (condition.dataSync()[0] !== 0) update();
}
