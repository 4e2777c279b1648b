import type { BertConfig } from '../model/config.ts';
import { KEYS, layerKeys, type LayerNormKeys, parameterSpecs } from '../model/parameters.ts';
import { importParts } from '../train/session-state.ts';
import type { NamedArray } from '../train/session-types.ts';
import { OnnxGraph, type Value } from './onnx-graph.ts';
import type { Message } from '../report/protobuf.ts';

/** Pushes padding out of the softmax, as in model/bert.ts. */
const PADDING_SCORE = 1e9;

interface DenseKeys {
  readonly weight: string;
  readonly bias: string;
}

/**
 * `BertForMaskedLM` as an ONNX file with the inputs and the output of transformers' own exports: `input_ids`,
 * `attention_mask` and `token_type_ids`, int64 [batch_size, sequence_length]; `logits`, float32 [batch_size,
 * sequence_length, V].
 * @param tensors parameters by transformers' names
 * @param version of this program
 */
export function onnxBert(
  config: BertConfig,
  tensors: ReadonlyMap<string, NamedArray>,
  version: string,
): Message {
  return new BertGraph(config, tensors).build(version);
}

/** The forward pass of model/bert.ts, operator by operator; values are [B, L, …]. */
class BertGraph {
  readonly #graph = new OnnxGraph();
  readonly #config: BertConfig;

  constructor(config: BertConfig, tensors: ReadonlyMap<string, NamedArray>) {
    this.#config = config;
    for (const spec of parameterSpecs(config)) {
      this.#graph.weights(spec.key, spec.shape, importParts(tensors, '', spec));
    }
    const headSize = config.hiddenSize / config.numHeads;
    this.#graph.scalar('one', 1);
    this.#graph.scalar('half', 0.5);
    this.#graph.scalar('sqrt_half', Math.SQRT1_2);
    this.#graph.scalar('padding_score', PADDING_SCORE);
    this.#graph.scalar('attention_scale', 1 / Math.sqrt(headSize));
    // In a shape 0 keeps a size, and −1 is what is left.
    this.#graph.integers('mask_shape', [0, 1, 1, -1]);
    this.#graph.integers('heads_shape', [0, 0, config.numHeads, headSize]);
    this.#graph.integers('joined_shape', [0, 0, config.hiddenSize]);
    this.#graph.integers('zero', [0]);
  }

  build(version: string): Message {
    const graph = this.#graph;
    const tokens = ['batch_size', 'sequence_length'] as const;
    const ids = graph.input('input_ids', 'int64', tokens);
    const mask = graph.input('attention_mask', 'int64', tokens);
    const types = graph.input('token_type_ids', 'int64', tokens);
    const bias = this.#scoreBias(mask);
    let hidden = this.#embed(ids, types);
    for (let layer = 0; layer < this.#config.numLayers; layer += 1) {
      hidden = this.#layer(layerKeys(layer), hidden, bias);
    }
    const head = this.#norm(KEYS.headNorm, this.#gelu(this.#dense(KEYS.transform, hidden)));
    const words = graph.node('Transpose', [KEYS.words], { perm: [1, 0] });
    const scores = graph.node('MatMul', [head, words]);
    const logits = graph.node('Add', [scores, KEYS.headBias], {}, 'logits');
    graph.output(logits, 'float32', [...tokens, this.#config.vocabSize]);
    return graph.model('BertForMaskedLM', version);
  }

  #embed(ids: Value, types: Value): Value {
    const graph = this.#graph;
    const length = graph.node('Shape', [ids], { start: 1, end: 2 });
    const positions = graph.node('Slice', [KEYS.positions, 'zero', length, 'zero']);
    const words = graph.node('Gather', [KEYS.words, ids]);
    const typed = graph.node('Add', [words, graph.node('Gather', [KEYS.types, types])]);
    return this.#norm(KEYS.embeddingNorm, graph.node('Add', [typed, positions]));
  }

  /** [B, 1, 1, L]: 0 for tokens, −1e9 for padding. */
  #scoreBias(mask: Value): Value {
    const graph = this.#graph;
    const shaped = graph.node('Reshape', [graph.node('Cast', [mask], { to: 1 }), 'mask_shape']);
    return graph.node('Mul', [graph.node('Sub', [shaped, 'one']), 'padding_score']);
  }

  #layer(keys: ReturnType<typeof layerKeys>, input: Value, bias: Value): Value {
    const graph = this.#graph;
    const context = this.#attention(keys.qkv, input, bias);
    const attended = graph.node('Add', [this.#dense(keys.attentionOutput, context), input]);
    const middle = this.#norm(keys.attentionNorm, attended);
    const inner = this.#gelu(this.#dense(keys.intermediate, middle));
    return this.#norm(keys.outputNorm, graph.node('Add', [this.#dense(keys.output, inner), middle]));
  }

  #attention(qkv: DenseKeys, input: Value, bias: Value): Value {
    const graph = this.#graph;
    const names = ['queries', 'keys', 'values'].map((part) => `${qkv.weight}.${part}`);
    const parts = graph.nodes('Split', [this.#dense(qkv, input)], { axis: 2 }, names);
    const [queries, keys, values] = parts.map((part, index) => {
      const heads = graph.node('Reshape', [part, 'heads_shape']);
      return graph.node('Transpose', [heads], { perm: index === 1 ? [0, 2, 3, 1] : [0, 2, 1, 3] });
    });
    const products = graph.node('MatMul', [queries!, keys!]);
    const scores = graph.node('Add', [graph.node('Mul', [products, 'attention_scale']), bias]);
    const weighted = graph.node('MatMul', [graph.node('Softmax', [scores], { axis: -1 }), values!]);
    const joined = graph.node('Transpose', [weighted], { perm: [0, 2, 1, 3] });
    return graph.node('Reshape', [joined, 'joined_shape']);
  }

  #dense({ weight, bias }: DenseKeys, input: Value): Value {
    return this.#graph.node('Add', [this.#graph.node('MatMul', [input, weight]), bias]);
  }

  /** x · ½ · (1 + erf(x / √2)) */
  #gelu(x: Value): Value {
    const graph = this.#graph;
    const erf = graph.node('Erf', [graph.node('Mul', [x, 'sqrt_half'])]);
    return graph.node('Mul', [graph.node('Mul', [x, 'half']), graph.node('Add', [erf, 'one'])]);
  }

  #norm({ gain, bias }: LayerNormKeys, x: Value): Value {
    const epsilon = { float: this.#config.layerNormEpsilon };
    return this.#graph.node('LayerNormalization', [x, gain, bias], { axis: -1, epsilon });
  }
}
