import * as tf from '@tensorflow/tfjs-core';
import type { BertConfig } from './config.ts';

/** A parameter under its name and layout in transformers' models of BERT. */
export interface NamedPart {
  readonly name: string;
  /** As PyTorch holds it: dense weights are [out, in]. */
  readonly shape: readonly number[];
  readonly init: 'normal' | 'zeros' | 'ones';
}

/** A tensor as it is trained, and the named parts that it is made of. */
export interface ParameterSpec {
  readonly key: string;
  /** Dense weights are [in, out]; queries, keys and values lie side by side in one. */
  readonly shape: readonly number[];
  /**
   * `same`: one part, as it is. `transposed`: parts [out, in] become columns of [in, sum of out].
   * `joined`: vectors one after another.
   */
  readonly layout: 'same' | 'transposed' | 'joined';
  /** Whether weight decay applies: not to biases nor LayerNorm. */
  readonly decays: boolean;
  readonly parts: readonly NamedPart[];
}

/** The trainable tensors by key, in the order of `parameterSpecs`. */
export type ParameterMap = ReadonlyMap<string, tf.Variable>;

export interface LayerNormKeys {
  readonly gain: string;
  readonly bias: string;
}

/** Keys of the tensors, for the forward pass. */
export const KEYS = {
  words: 'embeddings.words',
  positions: 'embeddings.positions',
  types: 'embeddings.types',
  embeddingNorm: normKeys('embeddings.norm'),
  transform: denseKeys('head.transform'),
  headNorm: normKeys('head.norm'),
  headBias: 'head.bias',
  pooler: denseKeys('pooler'),
  classifier: denseKeys('classifier'),
} as const;

/** Keys of one encoder layer's tensors. */
export function layerKeys(layer: number) {
  const prefix = `layer.${layer}`;
  return {
    qkv: denseKeys(`${prefix}.attention.qkv`),
    attentionOutput: denseKeys(`${prefix}.attention.output`),
    attentionNorm: normKeys(`${prefix}.attention.norm`),
    intermediate: denseKeys(`${prefix}.intermediate`),
    output: denseKeys(`${prefix}.output`),
    outputNorm: normKeys(`${prefix}.norm`),
  } as const;
}

/** All trainable tensors of `BertForMaskedLM`. The output projection is the word embedding itself (tied). */
export function parameterSpecs(config: BertConfig): readonly ParameterSpec[] {
  const { hiddenSize: H, vocabSize: V } = config;
  const head = 'cls.predictions';
  return [
    ...encoderSpecs(config),
    ...dense(KEYS.transform, [`${head}.transform.dense`], H, H),
    ...norm(KEYS.headNorm, `${head}.transform.LayerNorm`, H),
    vector(KEYS.headBias, [`${head}.bias`], V, 'zeros'),
  ];
}

/**
 * All trainable tensors of `BertForSequenceClassification`.
 * @param numOutputs classes, or 1 for a score
 */
export function classifierSpecs(config: BertConfig, numOutputs: number): readonly ParameterSpec[] {
  return [...pooledSpecs(config), ...dense(KEYS.classifier, ['classifier'], config.hiddenSize, numOutputs)];
}

/** All trainable tensors of `BertModel`: the encoder and the pooler. */
export function pooledSpecs(config: BertConfig): readonly ParameterSpec[] {
  const { hiddenSize: H } = config;
  return [...encoderSpecs(config), ...dense(KEYS.pooler, ['bert.pooler.dense'], H, H)];
}

function encoderSpecs(config: BertConfig): readonly ParameterSpec[] {
  const { hiddenSize: H, intermediateSize: F, vocabSize: V } = config;
  const embeddings = 'bert.embeddings';
  const specs: ParameterSpec[] = [
    table(KEYS.words, `${embeddings}.word_embeddings.weight`, [V, H]),
    table(KEYS.positions, `${embeddings}.position_embeddings.weight`, [config.maxPositions, H]),
    table(KEYS.types, `${embeddings}.token_type_embeddings.weight`, [config.typeVocabSize, H]),
    ...norm(KEYS.embeddingNorm, `${embeddings}.LayerNorm`, H),
  ];
  for (let layer = 0; layer < config.numLayers; layer += 1) {
    const keys = layerKeys(layer);
    const prefix = `bert.encoder.layer.${layer}`;
    const attention = `${prefix}.attention`;
    const self = ['query', 'key', 'value'].map((name) => `${attention}.self.${name}`);
    specs.push(
      ...dense(keys.qkv, self, H, H),
      ...dense(keys.attentionOutput, [`${attention}.output.dense`], H, H),
      ...norm(keys.attentionNorm, `${attention}.output.LayerNorm`, H),
      ...dense(keys.intermediate, [`${prefix}.intermediate.dense`], H, F),
      ...dense(keys.output, [`${prefix}.output.dense`], F, H),
      ...norm(keys.outputNorm, `${prefix}.output.LayerNorm`, H),
    );
  }
  return specs;
}

/** Number of trainable numbers. */
export function countParameters(config: BertConfig): number {
  return parameterSpecs(config).reduce((sum, { shape }) => sum + tf.util.sizeFromShape([...shape]), 0);
}

/** Values of a tensor in training layout, from its parts in the order of `spec.parts`. */
export function joinParts(
  spec: ParameterSpec,
  parts: readonly Float32Array<ArrayBuffer>[],
): Float32Array<ArrayBuffer> {
  if (spec.layout === 'same') return parts[0]!;
  const [numRows, rowSize] = matrixShape(spec);
  const joined = new Float32Array(numRows * rowSize);
  let column = 0;
  for (const part of parts) {
    const width = part.length / numRows;
    for (let out = 0; out < width; out += 1) {
      for (let row = 0; row < numRows; row += 1) {
        joined[row * rowSize + column + out] = part[out * numRows + row]!;
      }
    }
    column += width;
  }
  return joined;
}

/** Inverse of `joinParts`. */
export function splitParts(
  spec: ParameterSpec,
  values: Float32Array<ArrayBuffer>,
): Float32Array<ArrayBuffer>[] {
  if (spec.layout === 'same') return [values];
  const [numRows, rowSize] = matrixShape(spec);
  let column = 0;
  return spec.parts.map(({ shape }) => {
    const width = shape[0]!;
    const part = new Float32Array(width * numRows);
    for (let out = 0; out < width; out += 1) {
      for (let row = 0; row < numRows; row += 1) {
        part[out * numRows + row] = values[row * rowSize + column + out]!;
      }
    }
    column += width;
    return part;
  });
}

/** A joined vector is a matrix of one row. */
function matrixShape({ shape }: ParameterSpec): [number, number] {
  return shape.length === 2 ? [shape[0]!, shape[1]!] : [1, shape[0]!];
}

function denseKeys(prefix: string) {
  return { weight: `${prefix}.weight`, bias: `${prefix}.bias` } as const;
}

function normKeys(prefix: string): LayerNormKeys {
  return { gain: `${prefix}.gain`, bias: `${prefix}.bias` };
}

function table(key: string, name: string, shape: readonly number[]): ParameterSpec {
  return { key, shape, layout: 'same', decays: true, parts: [{ name, shape, init: 'normal' }] };
}

function vector(key: string, names: readonly string[], size: number, init: 'zeros' | 'ones'): ParameterSpec {
  const parts = names.map((name) => ({ name, shape: [size], init }));
  return { key, shape: [size * names.length], layout: 'joined', decays: false, parts };
}

function norm(keys: LayerNormKeys, name: string, size: number): ParameterSpec[] {
  return [
    vector(keys.gain, [`${name}.weight`], size, 'ones'),
    vector(keys.bias, [`${name}.bias`], size, 'zeros'),
  ];
}

function dense(
  keys: { readonly weight: string; readonly bias: string },
  names: readonly string[],
  inputSize: number,
  outputSize: number,
): ParameterSpec[] {
  const parts = names.map((name) => {
    return { name: `${name}.weight`, shape: [outputSize, inputSize], init: 'normal' } as const;
  });
  const shape = [inputSize, outputSize * names.length];
  return [
    { key: keys.weight, shape, layout: 'transposed', decays: true, parts },
    vector(
      keys.bias,
      names.map((name) => `${name}.bias`),
      outputSize,
      'zeros',
    ),
  ];
}
