import { createHash } from 'node:crypto';
import { TacoError } from '../errors.ts';
import type { SpecialTokenIds } from '../types.ts';

/** A token that is matched as a whole before WordPiece runs. Flags as in Hugging Face's `AddedToken`. */
export interface AddedToken {
  readonly content: string;
  readonly id: number;
  /** Skipped when decoding for people. */
  readonly special: boolean;
  /** Matches only where no letter, digit or underscore touches it. */
  readonly singleWord: boolean;
  /** Swallows white space on its left. */
  readonly lstrip: boolean;
  /** Swallows white space on its right. */
  readonly rstrip: boolean;
  /** Matched in the normalised text (true) or in the text as written (false). */
  readonly normalized: boolean;
}

/** Everything that decides the ids of a text. Plain data: crosses to worker threads as it is. */
export interface TokenizerSpec {
  readonly kind: 'wordpiece';
  /** Token of each id: the word pieces, then added tokens that are no word pieces. Empty where an id has none. */
  readonly vocabulary: readonly string[];
  /** How many entries of `vocabulary`, from the first, WordPiece may use. */
  readonly numWordPieces: number;
  /** What marks a piece inside a word; `##` in BERT. */
  readonly continuingPrefix: string;
  /** Removes control characters and makes every white space a space. */
  readonly cleanText: boolean;
  readonly lowercase: boolean;
  readonly stripAccents: boolean;
  /** Each CJK ideograph is a word of its own. */
  readonly handleChineseChars: boolean;
  /** Longer words, counted in code points after normalisation, become the unknown token. */
  readonly maxInputCharsPerWord: number;
  /** Ascending by id. */
  readonly specialTokens: readonly AddedToken[];
  readonly specialTokenIds: SpecialTokenIds;
  /** SHA-256, in hexadecimal, of the vocabulary as vocab.txt: each token followed by a line feed. */
  readonly sha256: string;
}

/** Names of the five tokens that BERT needs. */
export interface SpecialTokenNames {
  readonly pad: string;
  readonly unk: string;
  readonly cls: string;
  readonly sep: string;
  readonly mask: string;
}

export const BERT_SPECIAL_TOKENS: SpecialTokenNames = {
  pad: '[PAD]',
  unk: '[UNK]',
  cls: '[CLS]',
  sep: '[SEP]',
  mask: '[MASK]',
};

/** Settings of `createSpec`; what is left out is as in bert-base-uncased. */
export interface SpecOptions {
  readonly vocabulary: readonly string[];
  /** File the vocabulary came from, for error messages. */
  readonly path?: string;
  readonly continuingPrefix?: string;
  readonly cleanText?: boolean;
  readonly lowercase?: boolean;
  /** As in BERT, follows `lowercase` when it is left out. */
  readonly stripAccents?: boolean | undefined;
  readonly handleChineseChars?: boolean;
  readonly maxInputCharsPerWord?: number;
  readonly specialTokenNames?: SpecialTokenNames;
  /** Added tokens besides the five special ones, and those of the five whose flags differ from BERT's. */
  readonly addedTokens?: readonly AddedToken[];
}

/**
 * Builds a checked specification.
 * @throws TacoError `bad-config` when a special token is missing or an added token's id does not fit
 */
export function createSpec(options: SpecOptions): TokenizerSpec {
  const names = options.specialTokenNames ?? BERT_SPECIAL_TOKENS;
  const vocabulary = withoutRepeats(options.vocabulary);
  if (vocabulary.length === 0) {
    throw vocabularyError('the vocabulary is empty, expected one token a line', options.path);
  }
  const added = new Map((options.addedTokens ?? []).map((token) => [token.content, token]));
  appendAddedTokens(vocabulary, [...added.values()], options.path);

  const idOf = new Map(vocabulary.map((token, id) => [token, id]));
  const specialId = (name: string): number => {
    const id = added.get(name)?.id ?? idOf.get(name);
    if (id === undefined) {
      throw vocabularyError(
        `the vocabulary has no ${name} token, expected the five tokens of BERT (${Object.values(names).join(' ')}); is it a BERT vocabulary?`,
        options.path,
      );
    }
    if (!added.has(name)) added.set(name, plainSpecialToken(name, id));
    return id;
  };
  const specialTokenIds: SpecialTokenIds = {
    pad: specialId(names.pad),
    unk: specialId(names.unk),
    cls: specialId(names.cls),
    sep: specialId(names.sep),
    mask: specialId(names.mask),
  };

  const maxInputCharsPerWord = options.maxInputCharsPerWord ?? 100;
  if (
    !(Number.isInteger(maxInputCharsPerWord) && maxInputCharsPerWord >= 1 && maxInputCharsPerWord <= 65_536)
  ) {
    throw vocabularyError(
      `max_input_chars_per_word is ${maxInputCharsPerWord}, expected a whole number from 1 to 65536`,
      options.path,
    );
  }
  const lowercase = options.lowercase ?? true;
  return Object.freeze({
    kind: 'wordpiece',
    vocabulary,
    numWordPieces: options.vocabulary.length,
    continuingPrefix: options.continuingPrefix ?? '##',
    cleanText: options.cleanText ?? true,
    lowercase,
    stripAccents: options.stripAccents ?? lowercase,
    handleChineseChars: options.handleChineseChars ?? true,
    maxInputCharsPerWord,
    specialTokens: [...added.values()].sort((a, b) => a.id - b.id).map(inFixedOrder),
    specialTokenIds,
    sha256: createHash('sha256').update(vocabTextOf(vocabulary)).digest('hex'),
  });
}

/** Of equal tokens the last counts, as in Hugging Face's dictionaries; the id of an earlier one has no token. */
function withoutRepeats(vocabulary: readonly string[]): string[] {
  const lastIdOf = new Map(vocabulary.map((token, id) => [token, id]));
  return vocabulary.map((token, id) => (lastIdOf.get(token) === id ? token : ''));
}

/** The fingerprint is taken of JSON: equal tokens must have their properties in the same order. */
function inFixedOrder({
  content,
  id,
  special,
  singleWord,
  lstrip,
  rstrip,
  normalized,
}: AddedToken): AddedToken {
  return { content, id, special, singleWord, lstrip, rstrip, normalized };
}

function plainSpecialToken(content: string, id: number): AddedToken {
  return { content, id, special: true, singleWord: false, lstrip: false, rstrip: false, normalized: false };
}

function appendAddedTokens(
  vocabulary: string[],
  added: readonly AddedToken[],
  path: string | undefined,
): void {
  const numWordPieces = vocabulary.length;
  for (const token of [...added].sort((a, b) => a.id - b.id)) {
    if (token.content === '') throw vocabularyError(`added token ${token.id} is empty, expected text`, path);
    if (token.id === vocabulary.length) {
      vocabulary.push(token.content);
    } else if (vocabulary[token.id] !== token.content || token.id >= numWordPieces) {
      throw vocabularyError(
        `added token "${token.content}" has id ${token.id}, expected its place in the vocabulary or the next free id ${vocabulary.length}`,
        path,
      );
    }
  }
}

function vocabularyError(message: string, path: string | undefined): TacoError {
  return new TacoError(path === undefined ? message : `${path}: ${message}`, {
    code: 'bad-config',
    stage: 'tokenizer',
    ...(path === undefined ? {} : { path }),
  });
}

/**
 * Reads `vocab.txt`: one token a line, its id is the line's number from 0. White space at a line's end is no
 * part of the token, as in Hugging Face's reader.
 * @throws TacoError `corrupt` when the bytes are not UTF-8
 */
export function parseVocabText(bytes: Uint8Array, path = 'vocab.txt'): readonly string[] {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new TacoError(`${path} is not UTF-8 text, expected a vocabulary with one token a line`, {
      code: 'corrupt',
      stage: 'tokenizer',
      path,
      cause,
    });
  }
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  // JavaScript's own \s differs from Unicode's white space in U+0085 and the byte order mark.
  return lines.map((line) => line.replace(/\p{White_Space}+$/u, ''));
}

/** A vocabulary in the form of `vocab.txt`. */
export function vocabTextOf(vocabulary: readonly string[]): string {
  return `${vocabulary.join('\n')}\n`;
}

/**
 * SHA-256, in hexadecimal, of everything in a specification that decides ids. Two specifications with the same
 * fingerprint give every text the same ids.
 */
export function tokenizerFingerprint(spec: TokenizerSpec): string {
  const entries = Object.entries(spec)
    .filter(([name]) => name !== 'vocabulary')
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(entries)).digest('hex');
}
