import type * as tf from '@tensorflow/tfjs-core';
import { dense } from '../ops/dense.ts';
import { dropout } from '../ops/dropout.ts';
import { tanh } from '../ops/tanh.ts';
import { encode, type EncoderInput, parameter } from './bert.ts';
import type { BertConfig } from './config.ts';
import { KEYS, type ParameterMap } from './parameters.ts';

/**
 * Outputs of a classifier on BERT (Devlin et al. 2019, section 4.1; `BertForSequenceClassification` of transformers):
 * dense(dropout(tanh(dense(h)))) of each row's first token.
 * @param input with `outputRows_M`, the first token of each of the B rows
 * @returns [B, C] logits, or [B, 1] scores
 */
export function classifierOutputs(
  parameters: ParameterMap,
  config: BertConfig,
  input: EncoderInput & { readonly outputRows_M: tf.Tensor1D },
): tf.Tensor2D {
  const { hidden_NH: first_BH, dropoutAt } = encode(parameters, config, input);
  const at = (key: string) => parameter(parameters, key);
  const pooled_BH = tanh(dense(first_BH, at(KEYS.pooler.weight), at(KEYS.pooler.bias)));
  const dropped_BH = dropout(pooled_BH, dropoutAt('hidden'));
  return dense(dropped_BH, at(KEYS.classifier.weight), at(KEYS.classifier.bias));
}
