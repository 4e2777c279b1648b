import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { setWasmPaths, version_wasm } from '@tensorflow/tfjs-backend-wasm';
import { messageOf, TacoError } from '../../pipeline/index.ts';
import { EagerProgram } from './eager-program.ts';
import { GraphProgram } from './graph/graph-program.ts';
import type { ProtocolBuffers } from './graph/saved-model.ts';
import { registerTensorFlowKernels } from './kernels-tensorflow.ts';
import { registerWasmKernels } from './kernels-wasm.ts';
import { findNativeTensorFlow, loadNativeTensorFlow, projectRoot } from './native.ts';
import { choosePrecision, type Precision } from './precision.ts';
import type { Program } from './program.ts';

/** What a user may ask for; `auto` is TensorFlow where it loads, else WebAssembly. */
export const backendChoices = ['auto', 'tensorflow', 'wasm'] as const;
export type BackendChoice = (typeof backendChoices)[number];

/** Where tensors are computed in this process. */
export interface Backend {
  /** Its name in tfjs. */
  readonly name: 'tensorflow' | 'wasm';
  /** Of libtensorflow, or of the WebAssembly package. */
  readonly version: string;
  readonly device: 'CPU' | 'GPU';
  /** npm package that drives it. */
  readonly packageName: string;
  /** Why nothing better was taken: one line for each native TensorFlow that is absent or does not load. */
  readonly notes: readonly string[];
}

export interface OpenBackendOptions {
  /** Checkout in which native TensorFlow is looked for. */
  readonly root?: string;
  /** Let XLA compile what it can of every graph; for TensorFlow alone, and decided when it is loaded. */
  readonly xla?: boolean;
}

let opened: Backend | undefined;
/** Of the native TensorFlow in this process. */
let protocol: ProtocolBuffers | undefined;

/**
 * Chooses, loads and readies the tfjs backend of this process. Again with a choice that the present backend
 * meets, it returns that one.
 * @throws TacoError `backend` when TensorFlow is asked for and does not load, `bad-config` for XLA on WebAssembly
 */
export async function openBackend(choice: BackendChoice, options: OpenBackendOptions = {}): Promise<Backend> {
  const { root = projectRoot, xla = false } = options;
  if (opened === undefined || (choice !== 'auto' && choice !== opened.name)) {
    opened = choice === 'wasm' ? await openWasm([]) : await openTensorFlow(choice, { root, xla });
  }
  if (!xla || opened.name === 'tensorflow') return opened;
  throw new TacoError(
    `--xla compiles TensorFlow's graphs, the backend is ${opened.name}: leave it out, or npm run setup:tensorflow`,
    { code: 'bad-config', stage: 'engine' },
  );
}

const productTypes = { f32: 'float32', bf16: 'bfloat16', fp16: 'float16' } as const;

/**
 * An empty program on the backend that was opened: traced to a graph on TensorFlow, eager on WebAssembly.
 * @throws TacoError `backend` when none was opened, `bad-config` for a precision that it does not have
 */
export function createProgram(precision: Precision = 'f32'): Program {
  const name = tf.getBackend();
  if (opened?.name !== name) {
    throw new TacoError(
      `the tensor backend is "${name}" without the kernels of training: call openBackend first`,
      { code: 'backend', stage: 'engine' },
    );
  }
  if (protocol !== undefined && name === 'tensorflow') {
    return new GraphProgram({ protocol, productType: productTypes[precision] });
  }
  choosePrecision(precision, opened);
  return new EagerProgram();
}

async function openTensorFlow(
  choice: 'auto' | 'tensorflow',
  { root, xla }: Required<OpenBackendOptions>,
): Promise<Backend> {
  const { candidates, absent } = findNativeTensorFlow(root);
  const failures: string[] = [];
  for (const candidate of candidates) {
    try {
      const native = loadNativeTensorFlow(candidate, { xla });
      if (!isRegistered('tensorflow')) {
        tf.registerBackend('tensorflow', native.createBackend);
      }
      await activate('tensorflow');
      registerTensorFlowKernels();
      protocol = native.protocol;
      const { version, device } = native;
      return { name: 'tensorflow', version, device, packageName: candidate.packageName, notes: failures };
    } catch (error) {
      failures.push(messageOf(error));
    }
  }
  const notes = [...failures, ...absent];
  if (choice === 'auto') return openWasm(notes);
  throw new TacoError(
    `no native TensorFlow for --backend tensorflow (${notes.join('; ')}): run npm run setup:tensorflow, or take --backend wasm`,
    { code: 'backend', stage: 'engine' },
  );
}

async function openWasm(notes: readonly string[]): Promise<Backend> {
  const packageName = '@tensorflow/tfjs-backend-wasm';
  const packageFolder = dirname(createRequire(import.meta.url).resolve(`${packageName}/package.json`));
  const events = ['uncaughtException', 'unhandledRejection'] as const;
  const listeners = new Map(events.map((event) => [event, new Set(process.rawListeners(event))]));
  if (!isStarted('wasm')) setWasmPaths(join(packageFolder, 'dist', '/'));
  await activate('wasm');
  registerWasmKernels();
  // The generated loader makes itself the process's handler of errors; ours would no longer be printed as usual.
  for (const event of events) {
    for (const listener of process.rawListeners(event)) {
      if (listeners.get(event)?.has(listener) === false) {
        process.off(event, listener as (...args: unknown[]) => void);
      }
    }
  }
  return { name: 'wasm', version: version_wasm, device: 'CPU', packageName, notes };
}

async function activate(name: 'tensorflow' | 'wasm'): Promise<void> {
  const ready = await tf.setBackend(name);
  if (!ready) {
    throw new TacoError(
      `the tfjs backend "${name}" does not start on this machine: npm run doctor says more`,
      {
        code: 'backend',
        stage: 'engine',
      },
    );
  }
  await tf.ready();
}

function isRegistered(name: string): boolean {
  return Object.hasOwn(tf.engine().registryFactory, name);
}

function isStarted(name: string): boolean {
  return Object.hasOwn(tf.engine().registry, name);
}
