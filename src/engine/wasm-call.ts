import { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { TacoError } from '../../pipeline/index.ts';
import { type SimdFunctions, simdFunctions } from './simd/module.ts';

const BACKEND = 'wasm';

/** A call of a kernel on the WebAssembly backend: its inputs, and what it needs to make outputs. */
export class WasmCall {
  readonly backend: BackendWasm;
  /** Vector functions on the backend's memory. */
  readonly simd: SimdFunctions;
  readonly #kernelName: string;
  readonly #memory: WebAssembly.Memory;
  readonly #inputs: Readonly<Record<string, tf.TensorInfo | undefined>>;
  readonly #attrs: Readonly<Record<string, unknown>>;

  constructor(kernelName: string, config: Parameters<tf.KernelFunc>[0]) {
    const { inputs, backend, attrs } = config;
    if (!(backend instanceof BackendWasm)) {
      throw new TypeError(`kernel ${kernelName} wants the WebAssembly backend`);
    }
    this.backend = backend;
    this.#memory = memoryOf(backend);
    this.simd = simdFunctions(this.#memory);
    this.#kernelName = kernelName;
    this.#inputs = inputs;
    this.#attrs = attrs ?? {};
  }

  input(name: string): tf.TensorInfo {
    const info = this.#inputs[name];
    if (info === undefined) throw new TypeError(`kernel ${this.#kernelName} got no "${name}"`);
    return info;
  }

  optionalInput(name: string): tf.TensorInfo | undefined {
    return this.#inputs[name];
  }

  number(name: string): number {
    const value = this.#attrs[name];
    if (typeof value !== 'number') throw new TypeError(`kernel ${this.#kernelName} got no number "${name}"`);
    return value;
  }

  /** A new float32 tensor; its content is whatever the memory held. */
  allocate(shape: readonly number[]): tf.TensorInfo {
    return this.backend.makeOutput([...shape], 'float32');
  }

  /** A new float32 tensor of zeros. */
  zeros(shape: readonly number[]): tf.TensorInfo {
    const info = this.allocate(shape);
    this.floats(info).fill(0);
    return info;
  }

  /** Another tensor with the memory of this one, for a result that takes its place; undefined where others share it. */
  overwritable({ dataId, shape, dtype }: tf.TensorInfo): tf.TensorInfo | undefined {
    if (this.backend.refCount(dataId) > 1) return undefined;
    this.backend.incRef(dataId);
    return { dataId, shape, dtype };
  }

  free(...infos: readonly tf.TensorInfo[]): void {
    for (const { dataId } of infos) this.backend.disposeData(dataId);
  }

  /** Byte address in the backend's memory. */
  address(info: tf.TensorInfo): number {
    return this.backend.getMemoryOffset(info.dataId);
  }

  /** A view of a tensor, good until the next allocation, which may move the memory. */
  floats(info: tf.TensorInfo): Float32Array {
    const view = this.backend.typedArrayFromHeap(info);
    if (view instanceof Float32Array) return view;
    throw new TypeError(`kernel ${this.#kernelName} got ${info.dtype}, expected float32`);
  }

  /** A view of a tensor, good until the next allocation. */
  integers(info: tf.TensorInfo): Int32Array {
    const view = this.backend.typedArrayFromHeap(info);
    if (view instanceof Int32Array) return view;
    throw new TypeError(`kernel ${this.#kernelName} got ${info.dtype}, expected int32`);
  }

  /** A view of a tensor's memory as whole numbers, of whatever type it is; good until the next allocation. */
  words(info: tf.TensorInfo): Int32Array {
    return new Int32Array(this.#memory.buffer, this.address(info), tf.util.sizeFromShape(info.shape));
  }

  /** The number in a scalar tensor. */
  scalar(name: string): number {
    return this.floats(this.input(name))[0]!;
  }
}

/** Registers a kernel for the WebAssembly backend. */
export function registerWasmKernel(
  kernelName: string,
  kernel: (call: WasmCall) => tf.TensorInfo | tf.TensorInfo[],
): void {
  tf.registerKernel({
    kernelName,
    backendName: BACKEND,
    kernelFunc: (config) => kernel(new WasmCall(kernelName, config)),
  });
}

/** The memory that tfjs's module and the vector functions share. */
function memoryOf(backend: BackendWasm): WebAssembly.Memory {
  const { asm } = backend.wasm as { readonly asm?: { readonly memory?: unknown } };
  if (asm?.memory instanceof WebAssembly.Memory) return asm.memory;
  throw new TacoError(
    'this version of @tensorflow/tfjs-backend-wasm does not show its memory: run npm ci for the expected one',
    { code: 'backend', stage: 'engine' },
  );
}
