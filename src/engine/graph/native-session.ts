import * as tf from '@tensorflow/tfjs-core';
import type { GraphNode } from './graph.ts';
import { type ProtocolBuffers, TAG, withSavedModel } from './saved-model.ts';

/** The part of tfjs-node's backend that runs graphs. */
interface SessionBackend {
  loadSavedModelMetaGraph(folder: string, tags: string): number;
  deleteSavedModel(id: number): void;
  runSavedModel(
    id: number,
    inputs: readonly tf.Tensor[],
    infos: readonly { readonly name: string }[],
    outputs: readonly string[],
  ): tf.Tensor[];
}

/** A value for a placeholder. */
export interface SessionFeed {
  readonly name: string;
  readonly tensor: tf.Tensor;
}

/** A graph in a TensorFlow session of its own, with the variables that it holds. */
export class NativeSession {
  readonly #backend: SessionBackend;
  readonly #id: number;

  constructor(protocol: ProtocolBuffers, nodes: readonly GraphNode[]) {
    this.#backend = tf.findBackend('tensorflow') as unknown as SessionBackend;
    this.#id = withSavedModel(protocol, nodes, (folder) =>
      this.#backend.loadSavedModelMetaGraph(folder, TAG),
    );
  }

  /** @returns one tensor for each output; the caller disposes them */
  run(feeds: readonly SessionFeed[], outputs: readonly string[]): tf.Tensor[] {
    return this.#backend.runSavedModel(
      this.#id,
      feeds.map(({ tensor }) => tensor),
      feeds.map(({ name }) => ({ name: `${name}:0` })),
      outputs.map((name) => `${name}:0`),
    );
  }

  /** Frees the variables. */
  dispose(): void {
    this.#backend.deleteSavedModel(this.#id);
  }
}
