import { z } from 'zod';

/*
 * The form of manifest.json. `manifest.ts` holds what is done with it; the types are stated there by hand for
 * their documentation, and the compiler holds the two together.
 */

const count = z.int().nonnegative();
const tokenId = z.int().nonnegative();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const sourceCursor = z.strictObject({ file: count, group: count, row: count }).readonly();

const inputCursor = z
  .strictObject({
    sources: z.array(sourceCursor).readonly(),
    deliveredBytes: z.array(z.number().nonnegative()).readonly(),
  })
  .readonly();

const splits = <T extends z.ZodType>(value: T) =>
  z.strictObject({ train: value, validation: value }).readonly();

const prepareCursor = z
  .strictObject({
    input: inputCursor,
    document: count,
    token: count,
    carry: splits(z.array(tokenId).readonly()),
  })
  .readonly();

const settings = z
  .strictObject({
    maxSeqLen: z.int().min(3),
    packing: z.enum(['concat', 'documents']),
    remainder: z.enum(['pad', 'drop']),
    validation: z.number().min(0).max(1),
    seed: count,
    dedup: z.enum(['none', 'exact']),
    rowsPerShard: z.int().positive(),
    rowsPerGroup: z.int().positive(),
  })
  .readonly();

const source = z
  .strictObject({
    spec: z.string(),
    kind: z.enum(['hub', 'file', 'sample']),
    repository: z.string().exactOptional(),
    revision: z.string().exactOptional(),
    commit: z.string().exactOptional(),
    config: z.string().exactOptional(),
    column: z.string().exactOptional(),
    weight: z.number().positive().exactOptional(),
    files: z
      .array(z.strictObject({ path: z.string(), sizeBytes: count, digest: z.string() }).readonly())
      .readonly(),
  })
  .readonly();

const tokenizer = z
  .strictObject({
    reference: z.string(),
    kind: z.literal('wordpiece'),
    lowercase: z.boolean(),
    vocabSize: z.int().positive(),
    sha256,
    fingerprint: sha256,
    specialTokenIds: z
      .strictObject({ pad: tokenId, unk: tokenId, cls: tokenId, sep: tokenId, mask: tokenId })
      .readonly(),
  })
  .readonly();

const shard = z
  .strictObject({
    split: z.enum(['train', 'validation']),
    file: z.string().regex(/^(?:train|validation)\/\d{5,}\.parquet$/),
    rows: z.int().positive(),
    tokens: count,
    bytes: z.int().positive(),
    sha256,
    end: prepareCursor,
  })
  .readonly();

const seen = z
  .strictObject({ file: z.string().regex(/^seen\/\d{5,}\.bin$/), documents: count, sha256 })
  .readonly();

const totals = z
  .strictObject({
    documents: count,
    duplicateDocuments: count,
    textBytes: count,
    characters: count,
    textTokens: count,
    duplicateTokens: count,
    unknownTokens: count,
    tokens: count,
    paddingTokens: count,
    droppedTokens: count,
    trainRows: count,
    validationRows: count,
  })
  .readonly();

export const manifestSchema = z
  .strictObject({
    schemaVersion: z.literal(2),
    status: z.enum(['running', 'complete']),
    fingerprint: sha256,
    settings,
    sources: z.array(source).min(1).readonly(),
    tokenizer,
    shards: z.array(shard).readonly(),
    seen: z.array(seen).readonly(),
    totals,
  })
  .readonly();
