/**
 * Child process of probe.ts: starts one backend, multiplies two matrices on it and prints a report as JSON.
 * Usage: probe-worker.ts wasm | probe-worker.ts tensorflow '<NativeCandidate as JSON>'
 */
import * as tf from '@tensorflow/tfjs-core';
import { openBackend } from '../backend.ts';
import { loadNativeTensorFlow, type NativeCandidate } from '../native.ts';
import { type ProbeReport, reportMark } from './probe.ts';

async function start(kind: string | undefined, candidate: string | undefined): Promise<ProbeReport> {
  if (kind === 'wasm') {
    const { version, device } = await openBackend('wasm');
    return { version, device };
  }
  const native = loadNativeTensorFlow(JSON.parse(candidate ?? '') as NativeCandidate);
  tf.registerBackend('tensorflow', native.createBackend);
  await tf.setBackend('tensorflow');
  return { version: native.version, device: native.device };
}

const report = await start(process.argv[2], process.argv[3]);
const product = tf.matMul(tf.tensor2d([1, 2, 3, 4], [2, 2]), tf.tensor2d([5, 6, 7, 8], [2, 2]));
const got = [...product.dataSync()].join(' ');
if (got !== '19 22 43 50') throw new Error(`multiplies matrices wrongly: got ${got}, expected 19 22 43 50`);
process.stdout.write(`${reportMark}${JSON.stringify(report)}\n`);
