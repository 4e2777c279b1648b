import { describe, expect, it } from 'vitest';
import { EagerProgram } from '../../../src/engine/eager-program.ts';
import { createProgram, openBackend, type Program } from '../../../src/engine/index.ts';
import { modelPreset } from '../../../src/model/config.ts';
import { type NamedArray, type StepMetrics, TrainingSession } from '../../../src/train/session.ts';
import { hasTensorFlow } from '../../support/backends.ts';
import { largestDifference, readTorchFixture, relativeError, toBatch } from '../../support/torch-fixture.ts';

const fixture = readTorchFixture();
const NUM_UPDATES = 4;
const LEARNING_RATE = 1e-3;
const model = modelPreset('tiny', {
  vocabSize: fixture.model.vocabSize,
  hiddenSize: 32,
  intermediateSize: 64,
});

/** Every way in which a step is computed in f32. */
const ways = [
  ['traced to a graph', 'tensorflow', () => createProgram('f32')],
  ['TensorFlow, operation by operation', 'tensorflow', () => new EagerProgram()],
  ['WebAssembly', 'wasm', () => new EagerProgram()],
] as const satisfies readonly (readonly [string, 'tensorflow' | 'wasm', () => Program])[];

interface Training {
  readonly updates: readonly StepMetrics[];
  readonly state: ReadonlyMap<string, NamedArray>;
}

/** A few updates with dropout from the same seed. */
async function train(
  [, backend, programOf]: (typeof ways)[number],
  numMicroBatches: number,
): Promise<Training> {
  await openBackend(backend);
  const { temperature, tcWeight } = fixture;
  const session = new TrainingSession(
    {
      model,
      seed: 5,
      objective: { mode: 'taco', temperature, tcWeight },
      // So much decay that it shows after few updates.
      optimizer: { weightDecay: 1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
    },
    programOf(),
  );
  try {
    const updates = Array.from({ length: NUM_UPDATES }, (_, step) => {
      const batches = Array.from({ length: numMicroBatches }, (_, i) => {
        const { curveBatches } = fixture;
        return toBatch(fixture, curveBatches[(step * numMicroBatches + i) % curveBatches.length]!);
      });
      return session.trainStep(batches, { learningRate: LEARNING_RATE, step });
    });
    return { updates, state: session.exportState() };
  } finally {
    session.dispose();
  }
}

const note = hasTensorFlow ? '' : ' (skipped: no native TensorFlow, see npm run setup:tensorflow)';

describe.skipIf(note !== '')(`the ways of computing a step${note}`, () => {
  it.each([1, 3])(
    'agree over updates of %i micro-batches with dropout',
    async (numMicroBatches) => {
      const reference = await train(ways[0], numMicroBatches);
      expect(reference.updates.some(({ skipped }) => skipped)).toBe(false);
      for (const way of ways.slice(1)) {
        const [name] = way;
        const { updates, state } = await train(way, numMicroBatches);
        for (const [step, { loss, mlmLoss, tcLoss, gradNorm }] of updates.entries()) {
          const expected = reference.updates[step]!;
          const place = `${name}, update ${step}`;
          expect(Math.abs(loss - expected.loss), place).toBeLessThan(1e-4);
          expect(Math.abs(mlmLoss - expected.mlmLoss), place).toBeLessThan(1e-4);
          expect(Math.abs(tcLoss! - expected.tcLoss!), place).toBeLessThan(1e-4);
          expect(Math.abs(gradNorm / expected.gradNorm - 1), place).toBeLessThan(1e-4);
        }
        expect([...state.keys()]).toEqual([...reference.state.keys()]);
        for (const [key, { values }] of state) {
          const expected = reference.state.get(key)!.values;
          if (key.endsWith('self.key.bias')) {
            // A constant added to all keys shifts every score of a query alike: no gradient but rounding.
            expect(largestDifference(values, expected), `${name}, ${key}`).toBeLessThan(1e-5);
          } else {
            expect(relativeError(values, expected), `${name}, ${key}`).toBeLessThan(1e-3);
          }
        }
      }
    },
    240_000,
  );
});
