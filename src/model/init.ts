import { Random } from '../../pipeline/index.ts';
import type { BertConfig } from './config.ts';
import { joinParts, KEYS, type NamedPart, type ParameterSpec } from './parameters.ts';

/** Keeps the draws of initial weights apart from every other use of the seed. */
const PURPOSE = 0x1417;

/**
 * Initial values of a tensor in training layout: weights N(0, initializerRange), the padding word zero, biases zero,
 * LayerNorm gains one, as transformers initialises BERT. They depend on the seed and the part's name alone.
 */
export function initialValues(
  spec: ParameterSpec,
  config: BertConfig,
  seed: number,
): Float32Array<ArrayBuffer> {
  const values = joinParts(
    spec,
    spec.parts.map((part) => partValues(part, config, seed)),
  );
  if (spec.key === KEYS.words) {
    const start = config.padTokenId * config.hiddenSize;
    values.fill(0, start, start + config.hiddenSize);
  }
  return values;
}

function partValues(part: NamedPart, config: BertConfig, seed: number): Float32Array<ArrayBuffer> {
  const values = new Float32Array(part.shape.reduce((product, size) => product * size, 1));
  if (part.init === 'ones') values.fill(1);
  if (part.init === 'normal') {
    const random = new Random(seed, PURPOSE, ...new TextEncoder().encode(part.name));
    for (let i = 0; i < values.length; i += 1) values[i] = random.normal() * config.initializerRange;
  }
  return values;
}
