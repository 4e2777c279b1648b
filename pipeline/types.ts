/**
 * The shapes that travel between the stages. Everything is flat typed arrays, so that a chunk crosses to a
 * worker thread without a copy and without an object per document.
 */
import type { CompressionCodec, SchemaTree } from 'hyparquet';

/** Where reading goes on: everything before it has been delivered. Constant size, JSON. */
export interface SourceCursor {
  /** Index into the source's pinned list of files; equal to its length when the source is exhausted. */
  readonly file: number;
  /** Parquet: row group within the file. Line files: 0. */
  readonly group: number;
  /** Documents already delivered of that row group (Parquet) or file (others). */
  readonly row: number;
}

/** Documents as text. */
export interface TextDocuments {
  readonly kind: 'text';
  /** UTF-8 text of the documents, one after another without separators; malformed bytes possible. */
  readonly text: Uint8Array;
  /** [num documents] exclusive end of each document in `text`. */
  readonly ends: Uint32Array<ArrayBuffer>;
}

/** A page of a Parquet column as it is stored. */
export interface EncodedPage {
  /** Row group, for messages. */
  readonly group: number;
  /** Byte of the file at which the page begins, for messages. */
  readonly fileOffset: number;
  /** Row of the file that its first value is of, for messages. */
  readonly firstRow: number;
  /** [start, end) of the page, header included, in the unit's `bytes`. */
  readonly start: number;
  readonly end: number;
  /** Compression of its column chunk: `SNAPPY`, `ZSTD`, … */
  readonly codec: CompressionCodec;
  /** Values at its start that are not wanted. */
  readonly skipValues: number;
}

/** Documents as whole pages of a Parquet text column, which a worker decompresses and decodes. */
export interface EncodedDocuments {
  readonly kind: 'parquet';
  /** File's name, for messages. */
  readonly name: string;
  readonly bytes: Uint8Array;
  /** In order; the dictionary that data pages refer to comes before them. */
  readonly pages: readonly EncodedPage[];
  /** Schema elements from the root to the column. */
  readonly schemaPath: readonly SchemaTree[];
}

/** A run of whole documents. Its borders depend on the source alone, never on timing or workers. */
export interface DocumentChunk {
  readonly documents: TextDocuments | EncodedDocuments;
  /** Bytes of text in it; for encoded pages what their headers say, give or take empty documents. */
  readonly textBytes: number;
  /** Index of the source among the sources of the run. */
  readonly source: number;
  /** State of all sources from which this chunk is read again. */
  readonly at: InputCursor;
  /** State of all sources after this chunk. */
  readonly next: InputCursor;
  /** Bytes of its source's files that lie behind `next`, for progress. */
  readonly inputBytes: number;
  /** Takes back shared memory of the documents when nobody reads it any more: later ones may lie there. */
  readonly reuse?: ((memory: SharedArrayBuffer) => void) | undefined;
}

/** State of the whole input: one cursor for each source, and what the mixing needs. */
export interface InputCursor {
  readonly sources: readonly SourceCursor[];
  /** `textBytes` delivered per source so far: weighted mixing picks the source furthest behind its share. */
  readonly deliveredBytes: readonly number[];
}

/**
 * Tokens of consecutive documents of one chunk: same documents, same order, the empty ones left out. A chunk whose
 * pages hold much text comes in several parts.
 */
export interface TokenChunk {
  /** [CLS] ids [SEP] of the documents, one after another; nothing of a document without a token. */
  readonly ids: Int32Array;
  /** [num documents] exclusive end of each document in `ids`. */
  readonly ends: Uint32Array;
  /** Places among these documents, ascending, of those that belong to validation. */
  readonly validation: Uint32Array;
  /**
   * [4 * num documents] 128-bit hash of each document's bytes, in 32-bit lanes, the lowest first; undefined where
   * duplicates are kept.
   */
  readonly hashes: Uint32Array | undefined;
  /** Place of the first document in the chunk, counting those that are not empty. */
  readonly firstDocument: number;
  /** Whether the chunk ends with these documents. There is such a part for every chunk, perhaps without any. */
  readonly isLast: boolean;
  readonly source: number;
  readonly at: InputCursor;
  readonly next: InputCursor;
  readonly inputBytes: number;
  /** Bytes of text tokenized, and the characters (code points) that they are. */
  readonly textBytes: number;
  readonly numCharacters: number;
  /** How many of `ids` are neither [CLS] nor [SEP] of a document. */
  readonly numTokens: number;
  /** How many of `ids` are the unknown token. */
  readonly numUnknown: number;
}

/** The ids a BERT vocabulary must have. */
export interface SpecialTokenIds {
  readonly pad: number;
  readonly unk: number;
  readonly cls: number;
  readonly sep: number;
  readonly mask: number;
}

/** Pairs for the token-level contrastive loss (TC): flat indices `row * maxSeqLen + column` into the batch. */
export interface ContrastivePairs {
  /** [A] anchor tokens t1, ascending. */
  readonly anchors: Int32Array<ArrayBuffer>;
  /** [A] the positive t2 of each anchor: same row, inside the window. */
  readonly positives: Int32Array<ArrayBuffer>;
  /** [A * K] the K negatives of each anchor, row-major: tokens of other rows. */
  readonly negatives: Int32Array<ArrayBuffer>;
}

/** One micro-batch, ready for the step. Plain numbers: the same on every backend and any number of workers. */
export interface Batch {
  /** B */
  readonly batchSize: number;
  /** L */
  readonly maxSeqLen: number;
  /** [B * L] token ids after masking. */
  readonly inputIds: Int32Array<ArrayBuffer>;
  /** [B * L] 1 for tokens, 0 for padding; undefined when no row has padding. */
  readonly attentionMask: Int32Array<ArrayBuffer> | undefined;
  /** [M] flat positions that MLM selected, ascending. */
  readonly maskedPositions: Int32Array<ArrayBuffer>;
  /** [M] original ids at those positions. */
  readonly maskedLabels: Int32Array<ArrayBuffer>;
  /** Present in TACO mode. */
  readonly pairs: ContrastivePairs | undefined;
  /** State after this batch: what a checkpoint stores to go on with the very next one. */
  readonly cursor: BatchCursor;
}

/** Place of one dataset in a mixture. */
export interface DatasetCursor {
  /** Of the dataset's manifest. */
  readonly fingerprint: string;
  /** Share of the rows, whole, in lowest terms with those of the other datasets. */
  readonly weight: number;
  /** Rows of it delivered since the beginning of training, over all its epochs. */
  readonly position: number;
  /** How far it is behind its share since these weights apply; see `Turns`. */
  readonly lag: number;
}

/** Place in the endless sequence of training rows. Constant size, versioned JSON. */
export interface BatchCursor {
  readonly version: 2;
  readonly seed: number;
  /** Rows delivered since the beginning of training, of all datasets over all epochs. */
  readonly position: number;
  /** By ascending fingerprint. */
  readonly datasets: readonly DatasetCursor[];
}
