import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { messageOf, systemCodeOf, TacoError } from '../../pipeline/index.ts';

/** Shape and rates of a BERT encoder with an MLM head, frozen and cross-checked. */
export interface BertConfig {
  /** V */
  readonly vocabSize: number;
  /** H, a multiple of `numHeads`. */
  readonly hiddenSize: number;
  readonly numLayers: number;
  /** A */
  readonly numHeads: number;
  /** F, the width inside the feed-forward block. */
  readonly intermediateSize: number;
  /** Longest row the position embeddings cover, in tokens. */
  readonly maxPositions: number;
  readonly typeVocabSize: number;
  /** Dropout rate of embeddings and of the outputs of attention and feed-forward blocks, in [0, 1). */
  readonly hiddenDropout: number;
  /** Dropout rate of attention probabilities, in [0, 1). */
  readonly attentionDropout: number;
  /** Standard deviation of the initial weights. */
  readonly initializerRange: number;
  readonly layerNormEpsilon: number;
  /** The word whose looked-up embedding gets no gradient, as in `torch.nn.Embedding(padding_idx)`. */
  readonly padTokenId: number;
}

/** Sizes of Google's released miniatures (Turc et al. 2019) and of BERT-base (Devlin et al. 2019). */
const PRESET_SIZES = {
  tiny: { numLayers: 2, hiddenSize: 128, numHeads: 2 },
  mini: { numLayers: 4, hiddenSize: 256, numHeads: 4 },
  small: { numLayers: 4, hiddenSize: 512, numHeads: 8 },
  medium: { numLayers: 8, hiddenSize: 512, numHeads: 8 },
  base: { numLayers: 12, hiddenSize: 768, numHeads: 12 },
} as const;

export type ModelName = keyof typeof PRESET_SIZES;

export const MODEL_NAMES: readonly ModelName[] = ['tiny', 'mini', 'small', 'medium', 'base'];

/** What BERT's authors left at the same value in every size. */
const DEFAULTS = {
  vocabSize: 30522,
  maxPositions: 512,
  typeVocabSize: 2,
  hiddenDropout: 0.1,
  attentionDropout: 0.1,
  initializerRange: 0.02,
  layerNormEpsilon: 1e-12,
  padTokenId: 0,
} as const;

/**
 * The configuration of a named size.
 * @param overrides for instance the vocabulary size of the data set
 * @throws TacoError `bad-config` for an unknown name or overrides that do not fit together
 */
export function modelPreset(name: string, overrides: Partial<BertConfig> = {}): BertConfig {
  const known = MODEL_NAMES.find((candidate) => candidate === name);
  if (known === undefined) {
    throw new TacoError(
      `model is "${name}", expected one of ${MODEL_NAMES.join(', ')}; any other shape can be given as --bert-config <file>`,
      { code: 'bad-config', stage: 'model' },
    );
  }
  const sizes = PRESET_SIZES[known];
  return checkConfig(
    { ...DEFAULTS, ...sizes, intermediateSize: 4 * sizes.hiddenSize, ...overrides },
    `model "${name}"`,
  );
}

const count = z.int().positive();
const rate = z.number().min(0).lt(1);

/** Keys of Google's `bert_config.json` and, below them, of a Hugging Face `config.json` for BERT. */
const configFile = z.strictObject({
  vocab_size: count,
  hidden_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  intermediate_size: count,
  hidden_act: z.literal('gelu').default('gelu'),
  hidden_dropout_prob: rate.default(DEFAULTS.hiddenDropout),
  attention_probs_dropout_prob: rate.default(DEFAULTS.attentionDropout),
  max_position_embeddings: count.default(DEFAULTS.maxPositions),
  type_vocab_size: count.default(DEFAULTS.typeVocabSize),
  initializer_range: z.number().positive().default(DEFAULTS.initializerRange),
  layer_norm_eps: z.number().positive().default(DEFAULTS.layerNormEpsilon),
  pad_token_id: z.int().nonnegative().nullable().default(DEFAULTS.padTokenId),
  model_type: z.literal('bert').optional(),
  position_embedding_type: z.literal('absolute').optional(),
  is_decoder: z.literal(false).optional(),
  add_cross_attention: z.literal(false).optional(),
  is_encoder_decoder: z.literal(false).optional(),
  tie_word_embeddings: z.literal(true).optional(),
  // Bookkeeping that changes nothing in the model.
  architectures: z.unknown().optional(),
  _name_or_path: z.unknown().optional(),
  bos_token_id: z.unknown().optional(),
  eos_token_id: z.unknown().optional(),
  chunk_size_feed_forward: z.unknown().optional(),
  classifier_dropout: z.unknown().optional(),
  directionality: z.unknown().optional(),
  dtype: z.unknown().optional(),
  gradient_checkpointing: z.unknown().optional(),
  id2label: z.unknown().optional(),
  label2id: z.unknown().optional(),
  language: z.unknown().optional(),
  name: z.unknown().optional(),
  output_attentions: z.unknown().optional(),
  output_hidden_states: z.unknown().optional(),
  output_past: z.unknown().optional(),
  pooler_fc_size: z.unknown().optional(),
  pooler_num_attention_heads: z.unknown().optional(),
  pooler_num_fc_layers: z.unknown().optional(),
  pooler_size_per_head: z.unknown().optional(),
  pooler_type: z.unknown().optional(),
  problem_type: z.unknown().optional(),
  return_dict: z.unknown().optional(),
  torch_dtype: z.unknown().optional(),
  transformers_version: z.unknown().optional(),
  use_cache: z.unknown().optional(),
});

/**
 * Reads a configuration from the parsed JSON of Google's `bert_config.json` or a Hugging Face `config.json`.
 * @param origin how messages call the file
 * @throws TacoError `bad-config` naming the key, what it holds and what it should hold
 */
export function parseBertConfig(json: unknown, origin: string): BertConfig {
  const parsed = configFile.safeParse(json);
  if (!parsed.success) {
    const [first] = parsed.error.issues;
    const key = first === undefined || first.path.length === 0 ? '' : ` key "${first.path.join('.')}":`;
    throw new TacoError(
      `${origin}:${key} ${first?.message ?? 'not a BERT configuration'}; expected the keys of Google's bert_config.json (absolute positions, hidden_act "gelu")`,
      { code: 'bad-config', stage: 'model', path: origin, cause: parsed.error },
    );
  }
  const file = parsed.data;
  return checkConfig(
    {
      vocabSize: file.vocab_size,
      hiddenSize: file.hidden_size,
      numLayers: file.num_hidden_layers,
      numHeads: file.num_attention_heads,
      intermediateSize: file.intermediate_size,
      maxPositions: file.max_position_embeddings,
      typeVocabSize: file.type_vocab_size,
      hiddenDropout: file.hidden_dropout_prob,
      attentionDropout: file.attention_probs_dropout_prob,
      initializerRange: file.initializer_range,
      layerNormEpsilon: file.layer_norm_eps,
      padTokenId: file.pad_token_id ?? DEFAULTS.padTokenId,
    },
    origin,
  );
}

/**
 * Reads a Hugging Face `config.json`, which programs of all times have written into: keys that mean nothing to a BERT
 * are left out.
 * @returns the configuration, and those keys
 * @throws TacoError `bad-config` as `parseBertConfig`, for a model of another type too
 */
export function parseHuggingFaceConfig(
  json: unknown,
  origin: string,
): { readonly config: BertConfig; readonly ignored: readonly string[] } {
  const entries = typeof json === 'object' && json !== null ? Object.entries(json) : undefined;
  if (entries === undefined) return { config: parseBertConfig(json, origin), ignored: [] };
  const known = configFile.shape;
  const kept = entries.filter(([key]) => Object.hasOwn(known, key));
  const ignored = entries.map(([key]) => key).filter((key) => !Object.hasOwn(known, key));
  return { config: parseBertConfig(Object.fromEntries(kept), origin), ignored };
}

/**
 * Reads the file of `--bert-config`.
 * @throws TacoError `not-found` when it is not there, `bad-config` when it is no BERT configuration
 */
export async function readBertConfig(path: string): Promise<BertConfig> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const missing = systemCodeOf(error) === 'ENOENT';
    throw new TacoError(
      missing
        ? `${path}: no such file; --bert-config expects a bert_config.json in Google's format`
        : `${path}: cannot be read (${messageOf(error)}); --bert-config expects a bert_config.json file`,
      { code: missing ? 'not-found' : 'bad-config', stage: 'model', path, cause: error },
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new TacoError(
      `${path}: not JSON (${messageOf(error)}); --bert-config expects a bert_config.json in Google's format`,
      { code: 'bad-config', stage: 'model', path, cause: error },
    );
  }
  return parseBertConfig(json, path);
}

/** The configuration under the keys of a Hugging Face `config.json`, which `BertForMaskedLM` loads. */
export function toHuggingFaceConfig(config: BertConfig): Readonly<Record<string, unknown>> {
  return {
    architectures: ['BertForMaskedLM'],
    model_type: 'bert',
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    num_hidden_layers: config.numLayers,
    num_attention_heads: config.numHeads,
    intermediate_size: config.intermediateSize,
    hidden_act: 'gelu',
    hidden_dropout_prob: config.hiddenDropout,
    attention_probs_dropout_prob: config.attentionDropout,
    max_position_embeddings: config.maxPositions,
    type_vocab_size: config.typeVocabSize,
    initializer_range: config.initializerRange,
    layer_norm_eps: config.layerNormEpsilon,
    pad_token_id: config.padTokenId,
    position_embedding_type: 'absolute',
    tie_word_embeddings: true,
  };
}

function checkConfig(config: BertConfig, origin: string): BertConfig {
  const { hiddenSize, numHeads, padTokenId, vocabSize } = config;
  if (hiddenSize % numHeads !== 0) {
    throw new TacoError(
      `${origin}: hidden size ${hiddenSize} is not a multiple of the ${numHeads} attention heads; change one of them`,
      { code: 'bad-config', stage: 'model' },
    );
  }
  if (padTokenId >= vocabSize) {
    throw new TacoError(
      `${origin}: padding id ${padTokenId} is outside the vocabulary of ${vocabSize} words; expected 0 to ${vocabSize - 1}`,
      { code: 'bad-config', stage: 'model' },
    );
  }
  return Object.freeze({ ...config });
}
