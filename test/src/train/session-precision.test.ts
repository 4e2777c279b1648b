import { beforeAll, describe, expect, it } from 'vitest';
import { openBackend } from '../../../src/engine/index.ts';
import { modelPreset } from '../../../src/model/config.ts';
import { type NamedArray, OPTIMIZER_STATE, TrainingSession } from '../../../src/train/session.ts';
import { hasTensorFlow } from '../../support/backends.ts';
import { readTorchFixture, toBatch } from '../../support/torch-fixture.ts';

const fixture = readTorchFixture();
const batchOf = (step: number) => toBatch(fixture, fixture.curveBatches[step % fixture.curveBatches.length]!);
const optimizer = { weightDecay: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 };
const model = modelPreset('tiny', {
  vocabSize: fixture.model.vocabSize,
  hiddenSize: 32,
  intermediateSize: 64,
});

type Precision = 'f32' | 'bf16' | 'fp16';

function withSession<T>(precision: Precision, use: (session: TrainingSession) => T): T {
  const objective = { mode: 'taco', temperature: fixture.temperature, tcWeight: fixture.tcWeight } as const;
  const session = new TrainingSession({ model, seed: 3, objective, optimizer, precision });
  try {
    return use(session);
  } finally {
    session.dispose();
  }
}

function losses(session: TrainingSession, numSteps: number): number[] {
  return Array.from({ length: numSteps }, (_, step) => {
    const metrics = session.trainStep([batchOf(2 * step), batchOf(2 * step + 1)], {
      learningRate: 1e-3,
      step,
    });
    expect(metrics.skipped).toBe(false);
    return metrics.loss;
  });
}

function scaleOf(state: ReadonlyMap<string, NamedArray>): number[] {
  return [...state.get(OPTIMIZER_STATE.lossScale)!.values];
}

const note = hasTensorFlow ? '' : ' (skipped: no native TensorFlow, see npm run setup:tensorflow)';
describe.skipIf(!hasTensorFlow)(`training in low precision on tensorflow${note}`, () => {
  beforeAll(async () => {
    await openBackend('tensorflow');
  });

  it.each(['bf16', 'fp16'] as const)(
    '%s stays near f32 over 20 updates, and is not the same',
    (precision) => {
      const expected = withSession('f32', (session) => losses(session, 20));
      const actual = withSession(precision, (session) => losses(session, 20));
      for (const [step, loss] of actual.entries()) {
        expect(Math.abs(loss / expected[step]! - 1), `step ${step}`).toBeLessThan(0.02);
      }
      expect(actual).not.toEqual(expected);
    },
  );

  it('keeps the variables in float32: small updates are not lost', () => {
    withSession('bf16', (session) => {
      const name = 'bert.encoder.layer.0.output.dense.weight';
      const before = session.exportState().get(name)!.values;
      // Far below bf16's steps of 2^-8 of a value.
      session.trainStep([batchOf(0)], { learningRate: 1e-7, step: 0 });
      const after = session.exportState().get(name)!.values;
      const numChanged = after.filter((value, i) => value !== before[i]).length;
      expect(numChanged).toBeGreaterThan(0.9 * after.length);
    });
  });

  it('has a loss scale in fp16 alone', () => {
    expect(withSession('bf16', (session) => session.exportState()).has(OPTIMIZER_STATE.lossScale)).toBe(
      false,
    );
    withSession('fp16', (session) => {
      expect(scaleOf(session.exportState())).toEqual([65_536, 0]);
      losses(session, 3);
      expect(scaleOf(session.exportState())).toEqual([65_536, 3]);
    });
  });

  it('skips an update that overflows, halves the scale, and goes on', () => {
    withSession('fp16', (session) => {
      const state = session.exportState();
      state.set(OPTIMIZER_STATE.lossScale, { shape: [2], values: Float32Array.of(2 ** 40, 7) });
      session.importState(state, { optimizer: 'restore' });
      expect(scaleOf(session.exportState())).toEqual([2 ** 40, 7]);
      const before = session.exportState();
      const metrics = session.trainStep([batchOf(0), batchOf(1)], { learningRate: 1e-3, step: 0 });
      expect(metrics.skipped).toBe(true);
      const after = session.exportState();
      expect(scaleOf(after)).toEqual([2 ** 39, 0]);
      after.delete(OPTIMIZER_STATE.lossScale);
      before.delete(OPTIMIZER_STATE.lossScale);
      expect(after).toEqual(before);
    });
  });

  it('begins with a fresh scale where the checkpoint has none', () => {
    const state = withSession('f32', (session) => {
      losses(session, 2);
      return session.exportState();
    });
    withSession('fp16', (session) => {
      session.trainStep([batchOf(0)], { learningRate: 1e-3, step: 0 });
      session.importState(state, { optimizer: 'restore' });
      expect(scaleOf(session.exportState())).toEqual([65_536, 0]);
    });
  });
});

it('is refused on WebAssembly', async () => {
  await openBackend('wasm');
  expect(() => {
    withSession('bf16', () => undefined);
  }).toThrow('--precision bf16 needs --backend tensorflow');
});
