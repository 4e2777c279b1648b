import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { z } from 'zod';

const read = (name: string): Buffer =>
  readFileSync(new URL(`../fixtures/tokenizer/${name}`, import.meta.url));
const readGzip = (name: string): unknown => JSON.parse(gunzipSync(read(name)).toString('utf8'));

/** Options of Hugging Face's BertNormalizer, as far as they differ from uncased BERT's. */
const optionsSchema = z.strictObject({
  clean_text: z.boolean().optional(),
  handle_chinese_chars: z.boolean().optional(),
  strip_accents: z.boolean().optional(),
  lowercase: z.boolean().optional(),
});

export type NormalizerOptions = z.infer<typeof optionsSchema>;

/** Those options by the names that `createSpec` knows. */
export function specOptionsOf(options: NormalizerOptions) {
  return {
    cleanText: options.clean_text ?? true,
    handleChineseChars: options.handle_chinese_chars ?? true,
    stripAccents: options.strip_accents ?? options.lowercase ?? true,
    lowercase: options.lowercase ?? true,
  };
}

const idsSchema = z.array(z.array(z.int()));

/** Hard strings with their ids for several vocabularies and settings. */
export function readStrings() {
  return z
    .object({
      settings: z.record(z.string(), optionsSchema),
      characters: z.string(),
      categories: z.array(z.string()),
      texts: z.array(z.base64().transform((text) => new Uint8Array(Buffer.from(text, 'base64')))),
      ids: z.record(z.string(), idsSchema),
    })
    .parse(readGzip('strings.json.gz'));
}

/** Encyclopedia text in many scripts and four normal forms with its ids. */
export function readArticles() {
  return z
    .object({
      settings: z.record(z.string(), optionsSchema),
      names: z.array(z.string()),
      texts: z.array(z.string()),
      vocabularies: z.record(z.string(), z.array(z.string())),
      ids: z.record(z.string(), idsSchema),
    })
    .parse(readGzip('articles.json.gz'));
}

/** Digests over every code point, one a block. */
export function readCodePoints() {
  const digest = z.string().length(16);
  return z
    .object({
      block: z.int(),
      settings: z.record(
        z.string(),
        z.object({ options: optionsSchema, ids: z.array(digest), normalized: z.array(digest) }),
      ),
    })
    .parse(JSON.parse(read('code-points.json').toString('utf8')));
}

/** tokenizer.json files with added tokens of all kinds, and texts full of these. */
export function readAddedTokens() {
  return z
    .object({
      texts: z.array(z.string()),
      variants: z.record(z.string(), z.object({ tokenizer: z.unknown(), ids: idsSchema })),
    })
    .parse(readGzip('added-tokens.json.gz'));
}

/** Ids and the text that Hugging Face decodes them to. */
export function readDecoded() {
  return z
    .array(z.object({ ids: z.array(z.int()), text: z.string(), withoutSpecial: z.string() }))
    .parse(readGzip('decoded.json.gz'));
}
