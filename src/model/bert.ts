import * as tf from '@tensorflow/tfjs-core';
import { add } from '../ops/arithmetic.ts';
import { attention } from '../ops/attention.ts';
import { dense } from '../ops/dense.ts';
import { dropout, type DropoutSource } from '../ops/dropout.ts';
import { embeddingLookup, gatherRows, placeRows } from '../ops/embedding.ts';
import { gelu } from '../ops/gelu.ts';
import { layerNorm, type LayerNormParameters } from '../ops/layer-norm.ts';
import type { BertConfig } from './config.ts';
import { KEYS, layerKeys, type LayerNormKeys, type ParameterMap } from './parameters.ts';

/** Input of the encoder. */
export interface EncoderInput {
  /** B */
  readonly batchSize: number;
  /** L, at most `maxPositions`. */
  readonly maxSeqLen: number;
  /** int32 [B * L], or [T] where packed. */
  readonly ids_N: tf.Tensor1D;
  /** int32 [B * L], 1 for tokens and 0 for padding; undefined without padding. */
  readonly attentionMask_N?: tf.Tensor1D | undefined;
  /** int32 [B * L], or [T] where packed; undefined means type 0 everywhere. */
  readonly typeIds_N?: tf.Tensor1D | undefined;
  /** Leaves padding out of everything but attention; undefined computes all B · L places. */
  readonly packing?: Packing | undefined;
  /** int32 [M] rows of the last layer that are wanted: it is computed for these alone. Undefined wants all. */
  readonly outputRows_M?: tf.Tensor1D | undefined;
  /** int32 [2], see `DropoutSource`; undefined runs without dropout. */
  readonly dropoutSeed?: tf.Tensor1D | undefined;
}

/** Where the T tokens of a batch lie in its B · L places. */
export interface Packing {
  /** int32 [T] column of each token. */
  readonly positionIds_T: tf.Tensor1D;
  /** int32 [T] place of each token, row · L + column; that of tokens that only fill up is one of padding. */
  readonly place_T: tf.Tensor1D;
  /** int32 [B * L] the token at each place; any where there is padding. */
  readonly token_N: tf.Tensor1D;
}

/** Output of the encoder, N = B · L or, where packed, T. */
export interface EncoderOutput {
  /**
   * 1 + numLayers matrices [N, H]: the embeddings after LayerNorm and dropout, then each layer's output
   * (`hidden_states` of transformers). The last is [M, H] where only M rows are wanted.
   */
  readonly hiddenStates: readonly tf.Tensor2D[];
  readonly embedded_NH: tf.Tensor2D;
  readonly hidden_NH: tf.Tensor2D;
  /** Numbers the uses of dropout behind the encoder. */
  readonly dropoutAt: DropoutAt;
}

/** Pushes padding out of the softmax: its exponential is exactly 0, and finite where a row has nothing else. */
const PADDING_SCORE = 1e9;

/** BERT (Devlin et al. 2019, arXiv:1810.04805): LayerNorm after each residual sum, GELU with erf. */
export function encode(parameters: ParameterMap, config: BertConfig, input: EncoderInput): EncoderOutput {
  const dropoutAt = dropoutSites(config, input.dropoutSeed);
  const embedded_NH = embed(parameters, config, input, dropoutAt('hidden'));
  const hiddenStates = [embedded_NH];
  const scoreBias = scoreBiasOf(input);
  let hidden_NH = embedded_NH;
  for (let layer = 0; layer < config.numLayers; layer += 1) {
    hidden_NH = encoderLayer(parameters, config, layer, hidden_NH, { ...input, scoreBias, dropoutAt });
    hiddenStates.push(hidden_NH);
  }
  return { hiddenStates, embedded_NH, hidden_NH, dropoutAt };
}

/**
 * The MLM head up to the output projection, on chosen rows only: LayerNorm(gelu(dense(h))).
 * @param hidden_NH [N, H]
 * @param positions_M int32 [M] rows of `hidden_NH`
 * @returns [M, H]
 */
export function maskedHead(
  parameters: ParameterMap,
  config: BertConfig,
  hidden_NH: tf.Tensor2D,
  positions_M: tf.Tensor1D,
): tf.Tensor2D {
  const transformed = denseAt(parameters, KEYS.transform, gatherRows(hidden_NH, positions_M));
  return normAt(parameters, KEYS.headNorm, gelu(transformed), config);
}

/** A tensor of the model. */
export function parameter(parameters: ParameterMap, key: string): tf.Tensor2D {
  const variable = parameters.get(key);
  if (variable === undefined) throw new RangeError(`no parameter "${key}"`);
  return variable as tf.Tensor as tf.Tensor2D;
}

/** Where the next use of dropout draws its mask from; undefined without dropout. */
export type DropoutAt = (kind: 'hidden' | 'attention') => DropoutSource | undefined;

/** Numbers the uses of dropout in the order of the forward pass, which never depends on data. */
function dropoutSites(config: BertConfig, seed: tf.Tensor1D | undefined): DropoutAt {
  let site = 0;
  return (kind) => {
    if (seed === undefined) return undefined;
    const rate = kind === 'hidden' ? config.hiddenDropout : config.attentionDropout;
    const source = { seed, site, rate };
    site += 1;
    return source;
  };
}

function embed(
  parameters: ParameterMap,
  config: BertConfig,
  { batchSize, maxSeqLen, ids_N, typeIds_N, packing }: EncoderInput,
  source: DropoutSource | undefined,
): tf.Tensor2D {
  const words = embeddingLookup(parameter(parameters, KEYS.words), ids_N, config.padTokenId);
  const positionIds_N = packing?.positionIds_T ?? tf.tile(tf.range(0, maxSeqLen, 1, 'int32'), [batchSize]);
  const positions = embeddingLookup(parameter(parameters, KEYS.positions), positionIds_N);
  const types_N = typeIds_N ?? tf.fill<tf.Rank.R1>([batchSize * maxSeqLen], 0, 'int32');
  const typed = embeddingLookup(parameter(parameters, KEYS.types), types_N);
  const sum_NH = add(add(words, typed), positions);
  return dropout(normAt(parameters, KEYS.embeddingNorm, sum_NH, config), source);
}

interface LayerContext extends EncoderInput {
  readonly scoreBias: tf.Tensor | undefined;
  readonly dropoutAt: DropoutAt;
}

function encoderLayer(
  parameters: ParameterMap,
  config: BertConfig,
  layer: number,
  input_NH: tf.Tensor2D,
  context: LayerContext,
): tf.Tensor2D {
  const keys = layerKeys(layer);
  const { dropoutAt } = context;
  const qkv_N3H = denseAt(parameters, keys.qkv, input_NH);
  // All tokens are attended to, whichever rows are wanted.
  const rows_M = layer === config.numLayers - 1 ? context.outputRows_M : undefined;
  const context_NH = contextOf(qkv_N3H, rows_M, config, context);
  const residual_NH = rows_M === undefined ? input_NH : gatherRows(input_NH, rows_M);
  const attended_NH = dropout(denseAt(parameters, keys.attentionOutput, context_NH), dropoutAt('hidden'));
  const middle_NH = normAt(parameters, keys.attentionNorm, add(attended_NH, residual_NH), config);
  const inner_NF = gelu(denseAt(parameters, keys.intermediate, middle_NH));
  const output_NH = dropout(denseAt(parameters, keys.output, inner_NF), dropoutAt('hidden'));
  return normAt(parameters, keys.outputNorm, add(output_NH, middle_NH), config);
}

/** Attention, the only thing that needs rows of equal length. @param rows_M rows that are wanted */
function contextOf(
  qkv_N3H: tf.Tensor2D,
  rows_M: tf.Tensor1D | undefined,
  { numHeads }: BertConfig,
  { batchSize, maxSeqLen, packing, scoreBias, dropoutAt }: LayerContext,
): tf.Tensor2D {
  const placed = packing === undefined ? qkv_N3H : placeRows(qkv_N3H, packing.token_N, packing.place_T);
  const dropout = dropoutAt('attention');
  const context = attention(placed, { batchSize, maxSeqLen, numHeads, scoreBias, dropout });
  if (packing === undefined) return rows_M === undefined ? context : gatherRows(context, rows_M);
  return gatherRows(context, rows_M === undefined ? packing.place_T : tf.gather(packing.place_T, rows_M));
}

/** [B, 1, 1, L]: 0 for tokens, −1e9 for padding. */
function scoreBiasOf({ attentionMask_N, batchSize, maxSeqLen }: EncoderInput): tf.Tensor | undefined {
  if (attentionMask_N === undefined) return undefined;
  const bias_N = tf.mul(tf.sub(tf.cast(attentionMask_N, 'float32'), 1), PADDING_SCORE);
  return tf.reshape(bias_N, [batchSize, 1, 1, maxSeqLen]);
}

function denseAt(
  parameters: ParameterMap,
  keys: { readonly weight: string; readonly bias: string },
  x_NI: tf.Tensor2D,
): tf.Tensor2D {
  return dense(x_NI, parameter(parameters, keys.weight), parameter(parameters, keys.bias));
}

function normAt(
  parameters: ParameterMap,
  keys: LayerNormKeys,
  x_NH: tf.Tensor2D,
  config: BertConfig,
): tf.Tensor2D {
  const affine: LayerNormParameters = {
    gain: parameter(parameters, keys.gain),
    bias: parameter(parameters, keys.bias),
  };
  return layerNorm(x_NH, affine, config.layerNormEpsilon);
}
