import { z } from 'zod';
import { TacoError } from '../errors.ts';
import {
  type AddedToken,
  BERT_SPECIAL_TOKENS,
  createSpec,
  parseVocabText,
  type SpecialTokenNames,
  type TokenizerSpec,
  vocabTextOf,
} from './vocabulary.ts';

/** A file's content and the name that error messages call it by. */
export interface NamedFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** Files of one tokenizer as found in a folder or a repository; null where there is none. */
export interface TokenizerFileSet {
  readonly tokenizerJson: NamedFile | null;
  readonly vocabText: NamedFile | null;
  readonly tokenizerConfig: NamedFile | null;
}

const addedTokenSchema = z.object({
  id: z.int().nonnegative(),
  content: z.string(),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  normalized: z.boolean().default(true),
  special: z.boolean().default(false),
});

const typedSchema = z.object({ type: z.string() }).nullish();

const tokenizerJsonSchema = z.object({
  added_tokens: z.array(addedTokenSchema).default([]),
  normalizer: typedSchema,
  pre_tokenizer: typedSchema,
  model: z.object({ type: z.string().optional() }),
});

const normalizerSchema = z.object({
  clean_text: z.boolean().default(true),
  handle_chinese_chars: z.boolean().default(true),
  strip_accents: z.boolean().nullish(),
  lowercase: z.boolean().default(true),
});

const wordPieceSchema = z.object({
  unk_token: z.string().default('[UNK]'),
  continuing_subword_prefix: z.string().default('##'),
  max_input_chars_per_word: z.int().default(100),
  vocab: z.unknown(),
});

const tokenNameSchema = z
  .union([z.string(), z.object({ content: z.string() }).transform((token) => token.content)])
  .optional();

const addedTokenFlagsSchema = addedTokenSchema.omit({ id: true });

const tokenizerConfigSchema = z.object({
  do_lower_case: z.boolean().optional(),
  strip_accents: z.boolean().nullish(),
  tokenize_chinese_chars: z.boolean().optional(),
  pad_token: tokenNameSchema,
  unk_token: tokenNameSchema,
  cls_token: tokenNameSchema,
  sep_token: tokenNameSchema,
  mask_token: tokenNameSchema,
  added_tokens_decoder: z.record(z.string().regex(/^\d+$/), addedTokenFlagsSchema).optional(),
});

type TokenizerConfig = z.infer<typeof tokenizerConfigSchema>;

/**
 * Reads a tokenizer from wherever its files lie.
 * @param read a file by its name, null where there is none
 * @param where folder or repository, for error messages
 * @throws TacoError as `parseTokenizerFiles`
 */
export async function readTokenizerFiles(
  read: (name: string) => Promise<NamedFile | null>,
  where: string,
): Promise<TokenizerSpec> {
  const [tokenizerJson, vocabText, tokenizerConfig] = await Promise.all([
    read('tokenizer.json'),
    read('vocab.txt'),
    read('tokenizer_config.json'),
  ]);
  return parseTokenizerFiles({ tokenizerJson, vocabText, tokenizerConfig }, where);
}

/**
 * Reads a tokenizer from its files. `tokenizer.json` goes before `vocab.txt`; what `tokenizer_config.json` says on
 * case, accents and Chinese characters goes before both, as in `BertTokenizerFast`.
 * @param where folder or repository, for error messages
 * @throws TacoError `not-found`, `corrupt` or `bad-config` with the file's name
 */
export function parseTokenizerFiles(files: TokenizerFileSet, where: string): TokenizerSpec {
  const config =
    files.tokenizerConfig === null ? {} : parseJson(files.tokenizerConfig, tokenizerConfigSchema);
  if (files.tokenizerJson !== null) return parseTokenizerJson(files.tokenizerJson, config);
  if (files.vocabText !== null) {
    const { bytes, path } = files.vocabText;
    return createSpec({
      vocabulary: parseVocabText(bytes, path),
      path,
      lowercase: config.do_lower_case ?? true,
      stripAccents: config.strip_accents ?? undefined,
      handleChineseChars: config.tokenize_chinese_chars ?? true,
      specialTokenNames: specialNamesOf(config),
      addedTokens: addedTokensOf(config),
    });
  }
  throw new TacoError(
    `${where} has neither tokenizer.json nor vocab.txt, expected one of them (WordPiece, as BERT's)`,
    { code: 'not-found', stage: 'tokenizer', path: where },
  );
}

function parseTokenizerJson(file: NamedFile, config: TokenizerConfig): TokenizerSpec {
  const { path } = file;
  const outer = parseJson(file, tokenizerJsonSchema);
  expectType(outer.model.type ?? 'WordPiece', 'WordPiece', 'model', path);
  expectType(outer.normalizer?.type, 'BertNormalizer', 'normalizer', path);
  expectType(outer.pre_tokenizer?.type, 'BertPreTokenizer', 'pre_tokenizer', path);
  const { model, normalizer } = parseJson(
    file,
    z.object({ model: wordPieceSchema, normalizer: normalizerSchema }),
  );
  return createSpec({
    vocabulary: vocabularyOf(model.vocab, path),
    path,
    continuingPrefix: model.continuing_subword_prefix,
    maxInputCharsPerWord: model.max_input_chars_per_word,
    cleanText: normalizer.clean_text,
    lowercase: config.do_lower_case ?? normalizer.lowercase,
    stripAccents: config.strip_accents ?? normalizer.strip_accents ?? undefined,
    handleChineseChars: config.tokenize_chinese_chars ?? normalizer.handle_chinese_chars,
    specialTokenNames: { ...specialNamesOf(config), unk: model.unk_token },
    addedTokens: outer.added_tokens.map(addedTokenOf),
  });
}

function addedTokenOf(token: z.infer<typeof addedTokenSchema>): AddedToken {
  const { single_word: singleWord, ...rest } = token;
  return { ...rest, singleWord };
}

function addedTokensOf(config: TokenizerConfig): readonly AddedToken[] {
  return Object.entries(config.added_tokens_decoder ?? {}).map(([id, token]) =>
    addedTokenOf({ ...token, id: Number(id) }),
  );
}

function specialNamesOf(config: TokenizerConfig): SpecialTokenNames {
  return {
    pad: config.pad_token ?? BERT_SPECIAL_TOKENS.pad,
    unk: config.unk_token ?? BERT_SPECIAL_TOKENS.unk,
    cls: config.cls_token ?? BERT_SPECIAL_TOKENS.cls,
    sep: config.sep_token ?? BERT_SPECIAL_TOKENS.sep,
    mask: config.mask_token ?? BERT_SPECIAL_TOKENS.mask,
  };
}

/** An id that no token has keeps an empty place: vocabularies that name a token twice are written that way. */
function vocabularyOf(idOf: unknown, path: string): readonly string[] {
  if (typeof idOf !== 'object' || idOf === null || Array.isArray(idOf)) {
    const got = Array.isArray(idOf) ? 'a list' : typeof idOf;
    throw corrupt(`${path}: model.vocab is ${got}, expected an object from tokens to ids`, path);
  }
  const entries: readonly (readonly [string, unknown])[] = Object.entries(idOf);
  const vocabulary: string[] = [];
  for (const [token, id] of entries) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= 2 * entries.length) {
      throw corrupt(
        `${path}: token "${token}" has id ${JSON.stringify(id)}, expected a whole number below ${entries.length}`,
        path,
      );
    }
    if (vocabulary[id] !== undefined) {
      throw corrupt(
        `${path}: id ${id} stands for "${vocabulary[id]}" and "${token}", expected one token`,
        path,
      );
    }
    vocabulary[id] = token;
  }
  return Array.from(vocabulary, (token: string | undefined) => token ?? '');
}

function expectType(got: string | undefined, expected: string, part: string, path: string): void {
  if (got === expected) return;
  throw new TacoError(
    `${path}: ${part} is ${got ?? 'missing'}, expected ${expected}; only BERT's WordPiece tokenizers can be used`,
    { code: 'bad-config', stage: 'tokenizer', path },
  );
}

function parseJson<T>({ bytes, path }: NamedFile, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw corrupt(`${path} is not JSON, expected a Hugging Face tokenizer file; fetch it again`, path, cause);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const place = issue.path.map(String).join('.');
  throw corrupt(
    `${path}: ${place === '' ? 'content' : place}: ${issue.message}; expected a Hugging Face tokenizer file`,
    path,
    result.error,
  );
}

function corrupt(message: string, path: string, cause?: unknown): TacoError {
  return new TacoError(message, { code: 'corrupt', stage: 'tokenizer', path, cause });
}

/**
 * A tokenizer as the files that transformers and this package read: `vocab.txt`, `tokenizer.json` and
 * `tokenizer_config.json`, by name. Reading them back gives an equal specification.
 */
export function tokenizerFilesOf(spec: TokenizerSpec): ReadonlyMap<string, string> {
  return new Map([
    ['vocab.txt', vocabTextOf(spec.vocabulary)],
    ['tokenizer.json', `${JSON.stringify(tokenizerJsonOf(spec), null, 2)}\n`],
    ['tokenizer_config.json', `${JSON.stringify(tokenizerConfigOf(spec), null, 2)}\n`],
  ]);
}

function tokenizerJsonOf(spec: TokenizerSpec): object {
  const token = (id: number): string => spec.vocabulary[id]!;
  const { cls, sep, unk } = spec.specialTokenIds;
  const special = (id: number, typeId: number) => ({ SpecialToken: { id: token(id), type_id: typeId } });
  const sequence = (name: string, typeId: number) => ({ Sequence: { id: name, type_id: typeId } });
  const single = [special(cls, 0), sequence('A', 0), special(sep, 0)];
  const entry = (id: number): [string, object] => [
    token(id),
    { id: token(id), ids: [id], tokens: [token(id)] },
  ];
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: spec.specialTokens.map(({ singleWord, ...rest }) => ({ ...rest, single_word: singleWord })),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: spec.cleanText,
      handle_chinese_chars: spec.handleChineseChars,
      strip_accents: spec.stripAccents,
      lowercase: spec.lowercase,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single,
      pair: [...single, sequence('B', 1), special(sep, 1)],
      special_tokens: Object.fromEntries([entry(cls), entry(sep)]),
    },
    decoder: { type: 'WordPiece', prefix: spec.continuingPrefix, cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: token(unk),
      continuing_subword_prefix: spec.continuingPrefix,
      max_input_chars_per_word: spec.maxInputCharsPerWord,
      vocab: Object.fromEntries(
        spec.vocabulary
          .slice(0, spec.numWordPieces)
          .map((piece, id): [string, number] => [piece, id])
          .filter(([piece]) => piece !== ''),
      ),
    },
  };
}

function tokenizerConfigOf(spec: TokenizerSpec): object {
  const { pad, unk, cls, sep, mask } = spec.specialTokenIds;
  const token = (id: number): string => spec.vocabulary[id]!;
  return {
    tokenizer_class: 'BertTokenizer',
    do_lower_case: spec.lowercase,
    strip_accents: spec.stripAccents,
    tokenize_chinese_chars: spec.handleChineseChars,
    pad_token: token(pad),
    unk_token: token(unk),
    cls_token: token(cls),
    sep_token: token(sep),
    mask_token: token(mask),
  };
}
