/** Contender of bench/train.ts: this project's step on batches as the pipeline makes them. */
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { resolveSampling } from '../../../pipeline/batch-options.ts';
import { createCollator } from '../../../pipeline/collate.ts';
import { openBackend } from '../../../src/engine/index.ts';
import { modelPreset } from '../../../src/model/config.ts';
import { TrainingSession } from '../../../src/train/session.ts';
import { rowIds } from '../../support/dataset.ts';
import { serve, type Task } from './protocol.ts';

const SEED = 1;
const LEARNING_RATE = 1e-4;

/** The part of tfjs-node's backend that is measured. */
interface NativeBackend {
  binding: { readonly runSavedModel: (...args: readonly unknown[]) => unknown };
}

/** Adds up the time inside TensorFlow's session from here on; undefined where there is none. */
function watchSession(): { takeMs: () => number } | undefined {
  if (tf.getBackend() !== 'tensorflow') return undefined;
  const backend = tf.backend() as unknown as NativeBackend;
  const { binding } = backend;
  let spentMs = 0;
  backend.binding = Object.create(binding, {
    runSavedModel: {
      value: (...args: readonly unknown[]) => {
        const startedAt = performance.now();
        const outputs = binding.runSavedModel(...args);
        spentMs += performance.now() - startedAt;
        return outputs;
      },
    },
  }) as NativeBackend['binding'];
  return {
    takeMs: () => {
      const taken = spentMs;
      spentMs = 0;
      return taken;
    },
  };
}

/** Resident memory at its highest so far. */
function peakBytes(): number {
  try {
    return 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
  } catch {
    return 1024 * process.resourceUsage().maxRSS;
  }
}

const task = JSON.parse(process.argv[2]!) as Task;
const { batchSize, maxSeqLen, mode, precision } = task;
const model = modelPreset(task.model);
const { name, version, device } = await openBackend('auto');
const session = new TrainingSession({
  model,
  seed: SEED,
  objective: mode === 'mlm' ? { mode } : { mode, temperature: 0.07, tcWeight: 1 },
  optimizer: { weightDecay: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
  precision,
});
const collate = createCollator(
  {
    maxSeqLen,
    vocabSize: model.vocabSize,
    specialTokenIds: { pad: 0, unk: 100, cls: 101, sep: 102, mask: 103 },
  },
  resolveSampling({ batchSize, seed: SEED, taco: mode === 'taco' ? {} : undefined }),
  'train',
);
const GARBAGE_STEPS = 500;
const shape = { maxSeqLen, rowsPerGroup: 1, train: [] };
const watch = watchSession();
let step = 0;

await serve(
  { version: `${name} ${version} on ${device}` },
  () => {
    const begunAt = performance.now();
    const rowNumbers = Array.from({ length: batchSize }, (_, row) => step * batchSize + row);
    const ids = new Int32Array(batchSize * maxSeqLen);
    for (const [row, number] of rowNumbers.entries())
      ids.set(rowIds(shape, 'train', number), row * maxSeqLen);
    const batch = collate({ ids, rowNumbers, cursor: { version: 2, seed: SEED, position: 0, datasets: [] } });
    watch?.takeMs();
    const cpuBefore = process.cpuUsage();
    const startedAt = performance.now();
    const { loss } = session.trainStep([batch], { learningRate: LEARNING_RATE, step });
    const endedAt = performance.now();
    const cpu = process.cpuUsage(cpuBefore);
    step += 1;
    const sessionMs = watch?.takeMs();
    // What is asked for memory at such steps should not hear of garbage; short comparisons have no such step.
    if (step % GARBAGE_STEPS === 0) globalThis.gc?.();
    return {
      ms: endedAt - startedAt,
      cpuMs: (cpu.user + cpu.system) / 1000,
      batchMs: startedAt - begunAt,
      loss,
      rssBytes: process.memoryUsage.rss(),
      ...(sessionMs === undefined ? {} : { sessionMs }),
    };
  },
  () => ({ peakBytes: peakBytes() }),
);
