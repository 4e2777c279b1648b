import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { type Batch, TacoError } from '../../../pipeline/index.ts';
import { type BertConfig, modelPreset } from '../../../src/model/config.ts';
import {
  type NamedArray,
  type ObjectiveOptions,
  OPTIMIZER_STATE,
  TrainingSession,
} from '../../../src/train/session.ts';
import { describeOnEachBackend } from '../../support/backends.ts';
import { largestDifference, readTorchFixture, toBatch, withoutPrefix } from '../../support/torch-fixture.ts';

const fixture = readTorchFixture();
const { temperature, tcWeight, weightDecay } = fixture;
const optimizer = { weightDecay, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 };
const objectives: Readonly<Record<'mlm' | 'taco', ObjectiveOptions>> = {
  mlm: { mode: 'mlm' },
  taco: { mode: 'taco', temperature, tcWeight },
};
const fixtureBatch = (index: number) =>
  toBatch(fixture, fixture.curveBatches[index % fixture.curveBatches.length]!);

const withDropout: BertConfig = modelPreset('tiny', {
  vocabSize: fixture.model.vocabSize,
  hiddenSize: 32,
  intermediateSize: 64,
});

function withSession<T>(
  mode: 'mlm' | 'taco',
  run: (session: TrainingSession) => T,
  model: BertConfig = withDropout,
): T {
  const session = new TrainingSession({ model, seed: 3, objective: objectives[mode], optimizer });
  try {
    return run(session);
  } finally {
    session.dispose();
  }
}

/** What the state holds, as one comparable value. */
function bytesOf(state: ReadonlyMap<string, NamedArray>): string {
  return [...state]
    .map(([name, { values }]) => `${name}:${Buffer.from(values.buffer).toString('base64')}`)
    .join();
}

function withFilling(values: Float32Array<ArrayBuffer>, value: number): Float32Array<ArrayBuffer> {
  return new Float32Array(values.length).fill(value);
}

describeOnEachBackend('training session', (backend) => {
  it.each(['mlm', 'taco'] as const)('follows 20 updates of torch.optim.AdamW for %s', (mode) => {
    const steps = fixture.curves[mode];
    expect(steps).toHaveLength(20);
    const perStep = fixture.curveAccumulation[mode];
    withSession(
      mode,
      (session) => {
        session.importState(withoutPrefix(fixture.tensors, 'parameter.'), { optimizer: 'reset' });
        for (const [step, expected] of steps.entries()) {
          const batches = Array.from({ length: perStep }, (_, i) => fixtureBatch(step * perStep + i));
          const metrics = session.trainStep(batches, { learningRate: expected.learningRate, step });
          expect(Math.abs(metrics.loss - expected.loss)).toBeLessThan(1e-3);
          expect(Math.abs(metrics.gradNorm / expected.gradNorm - 1)).toBeLessThan(1e-3);
          expect(metrics.skipped).toBe(false);
        }
      },
      fixture.model,
    );
  });

  it('decays weights by learning rate times decay, and neither biases nor LayerNorm', () => {
    const parameters = withoutPrefix(fixture.tensors, 'parameter.');
    const updatedWith = (weightDecay: number) => {
      const session = new TrainingSession({
        model: fixture.model,
        seed: 3,
        objective: objectives.taco,
        optimizer: { ...optimizer, weightDecay },
      });
      try {
        session.importState(parameters, { optimizer: 'reset' });
        session.trainStep([fixtureBatch(0)], { learningRate: 1e-3, step: 0 });
        return session.exportState();
      } finally {
        session.dispose();
      }
    };
    const [plain, decayed] = [updatedWith(0), updatedWith(10)];
    for (const [name, { values }] of parameters) {
      const decay = /bias$|LayerNorm/.test(name) ? 0 : 0.01;
      const expected = plain.get(name)!.values.map((value, i) => value - decay * values[i]!);
      expect(largestDifference(decayed.get(name)!.values, expected), name).toBeLessThan(1e-6);
    }
  });

  it('keeps the number of tensors constant over steps and frees all of them', () => {
    const before = tf.memory().numTensors;
    withSession('taco', (session) => {
      const counts = new Set<number>();
      for (let step = 0; step < 4; step += 1) {
        session.trainStep([fixtureBatch(step), fixtureBatch(step + 1)], { learningRate: 1e-3, step });
        counts.add(tf.memory().numTensors);
        session.evaluate(fixtureBatch(step));
        counts.add(tf.memory().numTensors);
      }
      expect(counts.size).toBe(1);
      // A graph holds its variables itself.
      if (backend === 'wasm') expect(tf.memory().numTensors).toBeGreaterThan(before);
    });
    expect(tf.memory().numTensors).toBe(before);
  });

  it('computes the same step again from the same seed, and another from another step', () => {
    const lossOf = (step: number) =>
      withSession('taco', (session) => session.trainStep([fixtureBatch(0)], { learningRate: 0, step }).loss);
    expect(lossOf(5)).toBe(lossOf(5));
    expect(lossOf(5)).not.toBe(lossOf(6));
  });

  it('gives the micro-batches of a step different dropout', () => {
    const lossOf = (numMicroBatches: number) =>
      withSession('mlm', (session) => {
        const batches = Array.from({ length: numMicroBatches }, () => fixtureBatch(0));
        return session.trainStep(batches, { learningRate: 0, step: 0 }).loss;
      });
    expect(lossOf(2)).not.toBe(lossOf(1));
  });

  it('goes on from an exported state exactly where it was', () => {
    const train = (session: TrainingSession, from: number, to: number) => {
      for (let step = from; step < to; step += 1) {
        session.trainStep([fixtureBatch(step)], { learningRate: 1e-3, step });
      }
    };
    const saved = withSession('taco', (session) => {
      train(session, 0, 3);
      return session.exportState();
    });
    expect(saved.get(OPTIMIZER_STATE.step)?.values[0]).toBe(3);
    const resumed = withSession('taco', (session) => {
      session.importState(saved, { optimizer: 'restore' });
      expect(bytesOf(session.exportState())).toBe(bytesOf(saved));
      train(session, 3, 6);
      return bytesOf(session.exportState());
    });
    const uninterrupted = withSession('taco', (session) => {
      train(session, 0, 6);
      return bytesOf(session.exportState());
    });
    expect(resumed).toBe(uninterrupted);
  });

  it('exports names and layouts that import takes, moments included', () => {
    withSession('mlm', (session) => {
      const state = session.exportState();
      const query = 'bert.encoder.layer.0.attention.self.query.weight';
      const names = [...state.keys()];
      const parameters = names.filter((name) => !name.startsWith('optimizer.'));
      expect(names).toHaveLength(3 * parameters.length + 1);
      expect(names).toContain(OPTIMIZER_STATE.firstMoment + query);
      expect(names).toContain(OPTIMIZER_STATE.secondMoment + query);
      expect(state.get('bert.encoder.layer.0.intermediate.dense.weight')?.shape).toEqual([64, 32]);
      expect(state.get(OPTIMIZER_STATE.step)?.shape).toEqual([]);
      for (const [name, { shape, values }] of state) {
        expect(values.length, name).toBe(shape.reduce((product, size) => product * size, 1));
      }
    });
  });

  it('refuses a state of another model and keeps its own', () => {
    withSession('mlm', (session) => {
      const state = session.exportState();
      const untouched = bytesOf(state);
      const name = 'cls.predictions.bias';
      const changed = new Map(
        [...state].map(([key, { shape, values }]) => [key, { shape, values: withFilling(values, 9) }]),
      );
      const lacking = new Map(changed);
      lacking.delete(name);
      const misshapen = new Map(changed).set(name, { shape: [3], values: new Float32Array(3) });
      expect(() => {
        session.importState(lacking, { optimizer: 'reset' });
      }).toThrow(/lacks "cls.predictions.bias"/);
      expect(() => {
        session.importState(misshapen, { optimizer: 'reset' });
      }).toThrow(/as \[3\], the model has \[211\]/);
      const withoutMoments = new Map([...changed].filter(([key]) => !key.startsWith('optimizer.')));
      expect(() => {
        session.importState(withoutMoments, { optimizer: 'restore' });
      }).toThrow(/lacks "optimizer\./);
      expect(bytesOf(session.exportState())).toBe(untouched);
      session.importState(withoutMoments, { optimizer: 'reset' });
      expect(session.exportState().get(name)?.values[0]).toBe(9);
    });
  });

  it('skips the update when the loss is not finite', () => {
    withSession('mlm', (session) => {
      const state = session.exportState();
      const gain = 'cls.predictions.transform.LayerNorm.weight';
      const { shape, values } = state.get(gain)!;
      state.set(gain, { shape, values: withFilling(values, Number.POSITIVE_INFINITY) });
      session.importState(state, { optimizer: 'restore' });
      const broken = bytesOf(session.exportState());
      const metrics = session.trainStep([fixtureBatch(0)], { learningRate: 1e-3, step: 0 });
      expect(metrics.skipped).toBe(true);
      expect(bytesOf(session.exportState())).toBe(broken);
    });
  });

  it('trains on a batch in which nothing is masked', () => {
    const batch: Batch = {
      ...fixtureBatch(0),
      maskedPositions: new Int32Array(),
      maskedLabels: new Int32Array(),
    };
    withSession('taco', (session) => {
      const metrics = session.trainStep([batch], { learningRate: 1e-3, step: 0 });
      expect(metrics).toMatchObject({ mlmLoss: 0, mlmAccuracy: 0, skipped: false });
      expect(metrics.tcLoss).toBeGreaterThan(0);
      expect(session.evaluate(batch)).toMatchObject({ mlmLossSum: 0, mlmCorrect: 0, numMasked: 0 });
    });
  });

  it('evaluates without dropout, as sums', () => {
    withSession('taco', (session) => {
      const batch = fixtureBatch(1);
      const sums = session.evaluate(batch);
      expect(session.evaluate(batch)).toEqual(sums);
      expect(sums.numMasked).toBe(batch.maskedPositions.length);
      expect(sums.numAnchors).toBe(batch.pairs?.anchors.length);
      expect(sums.mlmLossSum / sums.numMasked).toBeCloseTo(Math.log(withDropout.vocabSize), 0);
    });
  });

  it('begins at the loss of chance and learns one batch by heart', () => {
    withSession('mlm', (session) => {
      const start = session.trainStep([fixtureBatch(0)], { learningRate: 0, step: 0 });
      expect(Math.abs(start.mlmLoss - Math.log(withDropout.vocabSize))).toBeLessThan(0.3);
      for (let step = 1; step < 40; step += 1) {
        session.trainStep([fixtureBatch(0)], { learningRate: 5e-3, step });
      }
      const { mlmCorrect, numMasked } = session.evaluate(fixtureBatch(0));
      expect(mlmCorrect).toBe(numMasked);
    });
  });

  it('refuses batches that the model cannot take', () => {
    withSession('taco', (session) => {
      const batch = fixtureBatch(0);
      const inputIds = Int32Array.from(batch.inputIds).fill(withDropout.vocabSize, 3, 4);
      const step = { learningRate: 0, step: 0 };
      expect(() => session.trainStep([{ ...batch, inputIds }], step)).toThrow(/token id 211 is outside/);
      expect(() => session.trainStep([{ ...batch, pairs: undefined }], step)).toThrow(TacoError);
      expect(() => session.trainStep([], step)).toThrow(RangeError);
      const long = { ...batch, maxSeqLen: 1024 };
      expect(() => session.trainStep([long], step)).toThrow(
        /rows are 1024 tokens long, the model has positions for 512/,
      );
    });
  });
});
