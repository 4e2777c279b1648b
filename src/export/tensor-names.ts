import { TacoError } from '../../pipeline/index.ts';
import type { BertConfig } from '../model/config.ts';
import { initialValues } from '../model/init.ts';
import { parameterSpecs, splitParts } from '../model/parameters.ts';
import type { NamedArray } from '../train/session-types.ts';

/** All parameters of the MLM head begin with this. */
const HEAD = 'cls.predictions.';
const WORDS = 'bert.embeddings.word_embeddings.weight';
/** The output projection, tied to the word embeddings: some files repeat it, some do not. */
const DECODER_WEIGHT = `${HEAD}decoder.weight`;
/** Another name of the head's bias. */
const DECODER_BIAS = `${HEAD}decoder.bias`;
const HEAD_BIAS = `${HEAD}bias`;

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
}

export function wantedTensors(config: BertConfig): WantedTensors {
  const names = new Set(parameterSpecs(config).flatMap(({ parts }) => parts.map(({ name }) => name)));
  names.add(DECODER_WEIGHT).add(DECODER_BIAS);
  return {
    isWanted: (name) => names.has(name),
    isForeign: (name) =>
      /^bert\.(?:embeddings|encoder)\./.test(name) && !names.has(name) && !BUFFERS.has(name),
  };
}

/** Where tensors came from, and what fills a gap. */
export interface CompletionOptions {
  /** How messages call the model. */
  readonly origin: string;
  /** Of the MLM head where there is none. */
  readonly seed: number;
}

/**
 * Makes tensors complete and checks them: all parameters of `BertForMaskedLM` in their shapes, and no others.
 * @param found by present names
 * @throws TacoError `mismatch` when a parameter is missing, has another shape, or the output projection is not the
 *   word embedding
 */
export function completeTensors(
  found: ReadonlyMap<string, NamedArray>,
  config: BertConfig,
  { origin, seed }: CompletionOptions,
): { readonly tensors: Map<string, NamedArray>; readonly notes: readonly string[] } {
  const hasHead = [...found.keys()].some((name) => name.startsWith(HEAD));
  const tensors = new Map<string, NamedArray>();
  for (const spec of parameterSpecs(config)) {
    const fresh = hasHead ? undefined : splitParts(spec, initialValues(spec, config, seed));
    for (const [index, { name, shape }] of spec.parts.entries()) {
      const given = found.get(name) ?? (name === HEAD_BIAS ? found.get(DECODER_BIAS) : undefined);
      const isMissingHead = given === undefined && name.startsWith(HEAD) && fresh !== undefined;
      const tensor = isMissingHead ? { shape, values: fresh[index]! } : given;
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
  const notes = hasHead
    ? []
    : [
        `${origin} has no MLM head (${HEAD}*): it is initialised from seed ${seed}, and predicts nothing before it is trained`,
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
