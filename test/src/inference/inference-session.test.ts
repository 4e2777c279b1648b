import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { Random } from '../../../pipeline/random.ts';
import { InferenceSession } from '../../../src/inference/inference-session.ts';
import { encode } from '../../../src/model/bert.ts';
import { parameterSpecs } from '../../../src/model/parameters.ts';
import { importParts } from '../../../src/train/session-state.ts';
import { describeOnEachBackend } from '../../support/backends.ts';
import { largestDifference, readTorchFixture, withoutPrefix } from '../../support/torch-fixture.ts';

const fixture = readTorchFixture();
const { batch, batchSize, maxSeqLen, model } = fixture;
const parameters = withoutPrefix(fixture.tensors, 'parameter.');
const rows = {
  batchSize,
  maxSeqLen,
  inputIds: Int32Array.from(batch.inputIds),
  attentionMask: Int32Array.from(batch.attentionMask!),
};

describeOnEachBackend('InferenceSession', () => {
  function withSession<T>(body: (session: InferenceSession) => T): T {
    const session = new InferenceSession(model, parameters);
    try {
      return body(session);
    } finally {
      session.dispose();
    }
  }

  it("gives the encoder's hidden states", () => {
    const expected = tf.tidy(() => {
      const variables = parameterSpecs(model).map((spec) => {
        const values = tf.tensor(importParts(parameters, '', spec), [...spec.shape]);
        return [spec.key, tf.variable(values)] as const;
      });
      const { embedded_NH, hidden_NH } = encode(new Map(variables), model, {
        batchSize,
        maxSeqLen,
        ids_N: tf.tensor1d(rows.inputIds, 'int32'),
        attentionMask_N: tf.tensor1d(rows.attentionMask, 'int32'),
      });
      for (const [, variable] of variables) variable.dispose();
      return [embedded_NH.dataSync<'float32'>(), hidden_NH.dataSync<'float32'>()] as const;
    });
    withSession((session) => {
      const { rowLength, embedded, hidden } = session.hiddenStates(rows);
      expect(rowLength).toBe(24);
      const size = maxSeqLen * model.hiddenSize;
      for (const [index, ours] of [embedded, hidden].entries()) {
        expect(ours).toHaveLength(batchSize * rowLength * model.hiddenSize);
        for (let row = 0; row < batchSize; row += 1) {
          const at = row * rowLength * model.hiddenSize;
          const theirs = expected[index]!.subarray(row * size, (row + 1) * size);
          expect(largestDifference(ours.subarray(at, at + size), theirs)).toBeLessThan(1e-5);
        }
      }
    });
  });

  it('predicts the same for a row with and without padding behind it', () => {
    withSession((session) => {
      const random = new Random(8);
      const ids = Int32Array.from({ length: 6 }, () => 5 + random.below(200));
      const positions = Int32Array.of(2, 4);
      const alone = session.predictMasked({ batchSize: 1, maxSeqLen: 6, inputIds: ids, positions });
      const padded = session.predictMasked({
        batchSize: 1,
        maxSeqLen: 9,
        inputIds: Int32Array.of(...ids, 0, 0, 0),
        attentionMask: Int32Array.of(1, 1, 1, 1, 1, 1, 0, 0, 0),
        positions,
      });
      expect(alone).toHaveLength(2 * model.vocabSize);
      for (const [i, logit] of alone.entries()) expect(padded[i]).toBeCloseTo(logit, 4);
      expect(
        session.predictMasked({ batchSize: 1, maxSeqLen: 6, inputIds: ids, positions: new Int32Array() }),
      ).toHaveLength(0);
    });
  });

  it('keeps no tensor from call to call', () => {
    const before = tf.memory().numTensors;
    withSession((session) => {
      const counts = new Set<number>();
      for (let call = 0; call < 3; call += 1) {
        session.hiddenStates(rows);
        session.predictMasked({ ...rows, positions: Int32Array.of(1) });
        counts.add(tf.memory().numTensors);
      }
      expect(counts.size).toBe(1);
    });
    expect(tf.memory().numTensors).toBe(before);
  });

  it('refuses rows that the model cannot take, and parameters of another model', () => {
    withSession((session) => {
      const long = { batchSize: 1, maxSeqLen: 1024, inputIds: new Int32Array(1024) };
      expect(() => session.hiddenStates(long)).toThrow(
        /rows are 1024 tokens long, the model has positions for 24/,
      );
    });
    expect(() => new InferenceSession({ ...model, numLayers: model.numLayers + 1 }, parameters)).toThrow(
      /lacks/,
    );
  });
});
