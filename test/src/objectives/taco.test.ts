import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../pipeline/index.ts';
import { createProgram, type Step } from '../../../src/engine/index.ts';
import { tokenContrastiveLoss } from '../../../src/objectives/taco.ts';
import { describeOnEachBackend } from '../../support/backends.ts';
import { contrastiveLossOf, type PlainPairs } from '../../support/contrastive-loss.ts';

interface FixtureCase {
  readonly name: string;
  readonly numTokens: number;
  readonly width: number;
  readonly numNegatives: number;
  readonly temperature: number;
  readonly hidden: readonly number[];
  readonly embedded: readonly number[];
  readonly anchors: readonly number[];
  readonly positives: readonly number[];
  readonly negatives: readonly number[];
  readonly loss: number;
  readonly numCorrect: number;
  readonly hiddenGradient: readonly number[];
  readonly embeddedGradient: readonly number[];
}
const fixture = JSON.parse(
  readFileSync(new URL('../../fixtures/taco/contrastive-loss.json', import.meta.url), 'utf8'),
) as { readonly cases: readonly FixtureCase[] };

interface Problem extends PlainPairs {
  readonly numTokens: number;
  readonly width: number;
  readonly hidden: ArrayLike<number>;
  readonly embedded: ArrayLike<number>;
  readonly temperature: number;
}

interface Answer {
  readonly loss: number;
  readonly numCorrect: number;
  readonly hiddenGradient: Float32Array;
  readonly embeddedGradient: Float32Array;
}

/** Loss and gradients by the implementation as training runs it; `upstream` is the gradient that comes from above. */
function solve(problem: Problem, upstream = 1): Answer {
  const { numTokens, width, temperature, anchors, positives, negatives } = problem;
  const numAnchors = anchors.length;
  const numNegatives = numAnchors === 0 ? 4 : negatives.length / numAnchors;
  const values = {
    hidden: Float32Array.from(problem.hidden),
    embedded: Float32Array.from(problem.embedded),
    anchors: Int32Array.from(anchors),
    positives: Int32Array.from(positives),
    negatives: Int32Array.from(negatives),
    weights: new Float32Array(numAnchors).fill(1 / Math.max(1, numAnchors)),
    upstream: Float32Array.of(upstream),
  };
  const matrix = { dtype: 'float32', shape: [numTokens, width] } as const;
  const indices = { dtype: 'int32', shape: [numAnchors] } as const;
  const feeds = {
    hidden: matrix,
    embedded: matrix,
    anchors: indices,
    positives: indices,
    negatives: { dtype: 'int32', shape: [numAnchors, numNegatives] },
    weights: { dtype: 'float32', shape: [numAnchors] },
    upstream: { dtype: 'float32', shape: [] },
  } as const;
  const program = createProgram();
  try {
    const step = program.compile(stepOf(temperature), { name: 'contrast', feeds, updates: [] });
    const outputs = step(values);
    return {
      loss: outputs.loss[0]!,
      numCorrect: outputs.numCorrect[0]!,
      hiddenGradient: outputs.hiddenGradient as Float32Array,
      embeddedGradient: outputs.embeddedGradient as Float32Array,
    };
  } finally {
    program.dispose();
  }
}

function stepOf(
  temperature: number,
): Step<
  'hidden' | 'embedded' | 'anchors' | 'positives' | 'negatives' | 'weights' | 'upstream',
  'loss' | 'numCorrect' | 'hiddenGradient' | 'embeddedGradient'
> {
  return ({ feeds }) => {
    const pairs = {
      anchors_A: feeds.anchors as tf.Tensor1D,
      positives_A: feeds.positives as tf.Tensor1D,
      negatives_AK: feeds.negatives as tf.Tensor2D,
      weights_A: feeds.weights as tf.Tensor1D,
    };
    let kept: tf.Scalar | undefined;
    const { value, grads } = tf.valueAndGrads((...tensors: tf.Tensor[]) => {
      const [hidden_ND, embedded_ND] = tensors as [tf.Tensor2D, tf.Tensor2D];
      const { loss, numCorrect } = tokenContrastiveLoss(hidden_ND, embedded_ND, pairs, { temperature });
      kept = tf.keep(numCorrect);
      return loss;
    })([feeds.hidden, feeds.embedded], feeds.upstream as tf.Scalar);
    const numCorrect = tf.clone(kept!);
    kept!.dispose();
    return { loss: value, numCorrect, hiddenGradient: grads[0]!, embeddedGradient: grads[1]! };
  };
}

function randomProblem(
  seed: number,
  shape: { rows: number; length: number; width: number; numNegatives: number; temperature: number },
): Problem {
  const { rows, length, width, numNegatives, temperature } = shape;
  const random = new Random(seed);
  const numTokens = rows * length;
  const normals = (): Float32Array => Float32Array.from({ length: numTokens * width }, () => random.normal());
  const anchors = Int32Array.from({ length: numTokens }, (_, index) => index);
  return {
    numTokens,
    width,
    temperature,
    hidden: normals(),
    embedded: normals(),
    anchors,
    positives: anchors.map((anchor) => (anchor % length === length - 1 ? anchor - 1 : anchor + 1)),
    negatives: Int32Array.from({ length: numTokens * numNegatives }, (_, index) => {
      const row = Math.floor(index / numNegatives / length);
      return ((row + 1 + random.below(rows - 1)) % rows) * length + random.below(length);
    }),
  };
}

function semanticsOf({ hidden, embedded }: Problem): Float64Array {
  return Float64Array.from(hidden, (value, index) => value - embedded[index]!);
}

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, relative: number): void {
  expect(actual.length).toBe(expected.length);
  const scale = Math.max(...Array.from(expected, Math.abs));
  let worst = 0;
  for (let i = 0; i < expected.length; i += 1) worst = Math.max(worst, Math.abs(actual[i]! - expected[i]!));
  expect(worst / scale).toBeLessThan(relative);
}

describe('the fixture', () => {
  it('has cases whose gradients are not zero', () => {
    expect(fixture.cases.length).toBeGreaterThanOrEqual(5);
    for (const { hiddenGradient } of fixture.cases) {
      expect(Math.max(...hiddenGradient.map(Math.abs))).toBeGreaterThan(1e-6);
    }
  });

  it('is what the transcription of the equation gives', () => {
    for (const each of fixture.cases) {
      const semantics = semanticsOf(each);
      const plain = contrastiveLossOf(semantics, semantics, each.width, each, each.temperature);
      expect(plain.loss).toBeCloseTo(each.loss, 6);
      expect(plain.numCorrect).toBe(each.numCorrect);
    }
  });
});

describeOnEachBackend('token-level contrastive loss', () => {
  it.each(fixture.cases)("equals PyTorch's loss and gradients: $name", (each) => {
    const answer = solve(each);
    expect(Math.abs(answer.loss - each.loss)).toBeLessThan(1e-5 * Math.max(1, each.loss));
    expect(answer.numCorrect).toBe(each.numCorrect);
    expectClose(answer.hiddenGradient, each.hiddenGradient, 2e-5);
    expectClose(answer.embeddedGradient, each.embeddedGradient, 2e-5);
  });

  it('equals the transcription over several chunks of negatives', () => {
    // 3 × 70 anchors of 50 negatives and width 512 make three chunks, the last of another size.
    const problem = randomProblem(5, {
      rows: 3,
      length: 70,
      width: 512,
      numNegatives: 50,
      temperature: 0.07,
    });
    const semantics = semanticsOf(problem);
    const plain = contrastiveLossOf(semantics, semantics, 512, problem, 0.07);
    const answer = solve(problem);
    expect(Math.abs(answer.loss - plain.loss)).toBeLessThan(1e-5 * plain.loss);
    expect(answer.numCorrect).toBe(plain.numCorrect);
  });

  it("has the transcription's finite differences as its gradient, positives and negatives held", () => {
    const problem = randomProblem(6, { rows: 3, length: 5, width: 7, numNegatives: 6, temperature: 0.3 });
    const semantics = semanticsOf(problem);
    const step = 1e-5;
    const differences = semantics.map((value, index) => {
      const at = (moved: number): number => {
        const anchors = Float64Array.from(semantics);
        anchors[index] = moved;
        return contrastiveLossOf(anchors, semantics, problem.width, problem, problem.temperature).loss;
      };
      return (at(value + step) - at(value - step)) / (2 * step);
    });
    const answer = solve(problem);
    expectClose(answer.hiddenGradient, differences, 1e-5);
    expectClose(
      answer.embeddedGradient,
      differences.map((value) => -value),
      1e-5,
    );
  });

  it('scales its gradient by what comes from above', () => {
    const problem = randomProblem(7, { rows: 2, length: 4, width: 3, numNegatives: 2, temperature: 0.1 });
    expectClose(
      solve(problem, -2.5).hiddenGradient,
      solve(problem).hiddenGradient.map((value) => value * -2.5),
      1e-6,
    );
  });

  it('stays finite at a temperature whose exponentials would overflow', () => {
    const problem = randomProblem(8, { rows: 2, length: 4, width: 3, numNegatives: 3, temperature: 1e-3 });
    const { loss, hiddenGradient } = solve(problem);
    expect(Number.isFinite(loss)).toBe(true);
    expect(loss).toBeGreaterThan(0);
    expect(hiddenGradient.every(Number.isFinite)).toBe(true);
  });

  it('is ln(1 + K) with nothing correct when all tokens mean the same', () => {
    const problem = randomProblem(9, { rows: 2, length: 3, width: 4, numNegatives: 5, temperature: 0.07 });
    const same = { ...problem, hidden: new Float32Array(24).fill(2), embedded: new Float32Array(24).fill(1) };
    const { loss, numCorrect, hiddenGradient } = solve(same);
    expect(loss).toBeCloseTo(Math.log(6), 5);
    expect(numCorrect).toBe(0);
    expect(hiddenGradient.every((value) => Math.abs(value) < 1e-5)).toBe(true);
  });

  it('is finite where a token is equal to its embedding', () => {
    const problem = randomProblem(10, { rows: 2, length: 3, width: 4, numNegatives: 5, temperature: 0.07 });
    const nothing = { ...problem, embedded: problem.hidden };
    const { loss, hiddenGradient } = solve(nothing);
    expect(loss).toBeCloseTo(Math.log(6), 5);
    expect(hiddenGradient.every((value) => value === 0)).toBe(true);
  });

  it('is 0, and so is its gradient, without anchors', () => {
    const problem = randomProblem(11, { rows: 2, length: 3, width: 4, numNegatives: 4, temperature: 0.07 });
    const empty = { ...problem, anchors: [], positives: [], negatives: [] };
    const { loss, numCorrect, hiddenGradient } = solve(empty);
    expect([loss, numCorrect]).toEqual([0, 0]);
    expect(hiddenGradient).toEqual(new Float32Array(24));
  });

  it('leaves no tensor behind', () => {
    const problem = randomProblem(12, { rows: 2, length: 4, width: 3, numNegatives: 2, temperature: 0.1 });
    solve(problem);
    const before = tf.memory().numTensors;
    solve(problem);
    expect(tf.memory().numTensors).toBe(before);
  });
});
