/**
 * Trains tiny TACO with dropout on made-up rows for 20 updates, and prints the numbers of each and the hash of all
 * parameters and moments after the last as JSON. A process of its own, as each run of a user is.
 *
 * Usage: tsx print-training.ts <wasm|tensorflow> <f32|bf16>
 */
import { createHash } from 'node:crypto';
import { createCollator } from '../../pipeline/collate.ts';
import { resolveSampling } from '../../pipeline/batch-options.ts';
import { Random } from '../../pipeline/random.ts';
import { openBackend } from '../../src/engine/backend.ts';
import { modelPreset } from '../../src/model/config.ts';
import { TrainingSession } from '../../src/train/session.ts';
import { cursorOf } from './cursors.ts';

const BATCH_SIZE = 8;
const MAX_SEQ_LEN = 64;
const SEED = 11;

const [backend, precision] = process.argv.slice(2);
await openBackend(backend === 'tensorflow' ? 'tensorflow' : 'wasm');

const model = modelPreset('tiny');
const facts = {
  maxSeqLen: MAX_SEQ_LEN,
  vocabSize: model.vocabSize,
  specialTokenIds: { pad: 0, unk: 100, cls: 101, sep: 102, mask: 103 },
};
const sampling = resolveSampling({ batchSize: BATCH_SIZE, seed: SEED, taco: {} });
const collate = createCollator(facts, sampling, 'train');
const session = new TrainingSession({
  model,
  seed: SEED,
  objective: { mode: 'taco', temperature: 0.07, tcWeight: 1 },
  optimizer: { weightDecay: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
  precision: precision === 'bf16' ? 'bf16' : 'f32',
});

const updates = Array.from({ length: 20 }, (_, step) => {
  const random = new Random(SEED, step);
  const ids = Int32Array.from({ length: BATCH_SIZE * MAX_SEQ_LEN }, () => 1000 + random.below(20_000));
  const rowNumbers = Array.from({ length: BATCH_SIZE }, (_, row) => step * BATCH_SIZE + row);
  const batch = collate({ ids, rowNumbers, cursor: cursorOf(0) });
  return session.trainStep([batch], { learningRate: 1e-3, step });
});
const state = createHash('sha256');
for (const [name, { values }] of session.exportState()) state.update(name).update(values);
process.stdout.write(JSON.stringify({ updates, state: state.digest('hex') }));
