import { TacoError } from '../../pipeline/index.ts';
import type { BertConfig } from '../model/config.ts';
import { initialValues } from '../model/init.ts';
import { type ParameterSpec, parameterSpecs, pooledSpecs, splitParts } from '../model/parameters.ts';
import type { NamedArray } from '../train/session-types.ts';

/** What is read on top of the encoder: the MLM head, or the pooler that classifiers stand on. */
export type Head = 'mlm' | 'pooler';

/** All parameters of the MLM head begin with this. */
const MLM_HEAD = 'cls.predictions.';
const PREFIXES: Readonly<Record<Head, string>> = { mlm: MLM_HEAD, pooler: 'bert.pooler.' };
const WORDS = 'bert.embeddings.word_embeddings.weight';
/** The output projection, tied to the word embeddings: some files repeat it, some do not. */
const DECODER_WEIGHT = `${MLM_HEAD}decoder.weight`;
/** Another name of the head's bias. */
const DECODER_BIAS = `${MLM_HEAD}decoder.bias`;
const HEAD_BIAS = `${MLM_HEAD}bias`;

/** What older versions of transformers kept beside the parameters. */
const BUFFERS: ReadonlySet<string> = new Set([
  'bert.embeddings.position_ids',
  'bert.embeddings.token_type_ids',
]);

/**
 * The name that a tensor of a BERT has in transformers' `BertForMaskedLM` today: LayerNorm's parameters were once
 * called gamma and beta, and a `BertModel` saved alone has no `bert.` before its names.
 */
export function presentName(name: string): string {
  const renamed = name
    .replace(/LayerNorm\.gamma$/, 'LayerNorm.weight')
    .replace(/LayerNorm\.beta$/, 'LayerNorm.bias');
  return /^(?:embeddings|encoder|pooler)\./.test(renamed) ? `bert.${renamed}` : renamed;
}

/** Which tensors of a file belong to a model, by their present names. */
export interface WantedTensors {
  readonly isWanted: (presentName: string) => boolean;
  /** Whether a tensor that is not wanted is part of an encoder: the configuration is then of another model. */
  readonly isForeign: (presentName: string) => boolean;
  /** Whether one that is not wanted is worth a word: heads of pretraining are not where a classifier is made. */
  readonly isNotable: (presentName: string) => boolean;
}

function specsOf(config: BertConfig, head: Head): readonly ParameterSpec[] {
  return head === 'mlm' ? parameterSpecs(config) : pooledSpecs(config);
}

export function wantedTensors(config: BertConfig, head: Head): WantedTensors {
  const names = new Set(specsOf(config, head).flatMap(({ parts }) => parts.map(({ name }) => name)));
  if (head === 'mlm') names.add(DECODER_WEIGHT).add(DECODER_BIAS);
  return {
    isWanted: (name) => names.has(name),
    isNotable: (name) => head === 'mlm' || !name.startsWith('cls.'),
    isForeign: (name) =>
      /^bert\.(?:embeddings|encoder)\./.test(name) && !names.has(name) && !BUFFERS.has(name),
  };
}

/** Where tensors came from, and what fills a gap. */
export interface CompletionOptions {
  readonly head: Head;
  /** How messages call the model. */
  readonly origin: string;
  /** Of the MLM head where there is none. */
  readonly seed: number;
}

/**
 * Makes tensors complete and checks them: all parameters of `BertForMaskedLM` or, with the pooler as head, of
 * `BertModel` in their shapes, and no others. A pooler that is missing stays so.
 * @param found by present names
 * @throws TacoError `mismatch` when a parameter is missing, has another shape, or the output projection is not the
 *   word embedding
 */
export function completeTensors(
  found: ReadonlyMap<string, NamedArray>,
  config: BertConfig,
  { head, origin, seed }: CompletionOptions,
): { readonly tensors: Map<string, NamedArray>; readonly notes: readonly string[] } {
  const isOfHead = (name: string): boolean => name.startsWith(PREFIXES[head]);
  const hasHead = [...found.keys()].some(isOfHead);
  const tensors = new Map<string, NamedArray>();
  for (const spec of specsOf(config, head)) {
    const isMissing = !hasHead && spec.parts.every(({ name }) => isOfHead(name));
    if (isMissing && head === 'pooler') continue;
    const fresh = isMissing ? splitParts(spec, initialValues(spec, config, seed)) : undefined;
    for (const [index, { name, shape }] of spec.parts.entries()) {
      const given = found.get(name) ?? (name === HEAD_BIAS ? found.get(DECODER_BIAS) : undefined);
      const tensor = fresh === undefined ? given : { shape, values: fresh[index]! };
      tensors.set(name, checked(tensor, name, shape, origin));
    }
  }
  const decoder = found.get(DECODER_WEIGHT);
  if (decoder !== undefined && !isEqual(decoder, tensors.get(WORDS)!)) {
    throw mismatch(
      origin,
      `its ${DECODER_WEIGHT} differs from ${WORDS}; expected a model whose output projection is tied to its word embeddings, as BERT's`,
    );
  }
  const notes =
    hasHead || head === 'pooler'
      ? []
      : [
          `${origin} has no MLM head (${MLM_HEAD}*): it is initialised from seed ${seed}, and predicts nothing before it is trained`,
        ];
  return { tensors, notes };
}

function checked(
  tensor: NamedArray | undefined,
  name: string,
  shape: readonly number[],
  origin: string,
): NamedArray {
  if (tensor === undefined) {
    throw mismatch(origin, `it lacks ${name}; expected all parameters that its config.json describes`);
  }
  if (tensor.shape.join() !== shape.join()) {
    throw mismatch(
      origin,
      `${name} is [${tensor.shape.join(', ')}], its config.json describes [${shape.join(', ')}]; the two files are not of one model`,
    );
  }
  return tensor;
}

function isEqual(a: NamedArray, b: NamedArray): boolean {
  return (
    a.values.length === b.values.length && a.values.every((value, index) => Object.is(value, b.values[index]))
  );
}

function mismatch(origin: string, what: string): TacoError {
  return new TacoError(`${origin} is not a BERT that can be read: ${what}`, {
    code: 'mismatch',
    stage: 'model',
    path: origin,
  });
}
