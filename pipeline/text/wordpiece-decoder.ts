import type { TokenizerSpec } from './vocabulary.ts';

/** What Hugging Face's WordPiece decoder tidies in each token, in this order; a token begins with its space. */
const CLEANUPS = [
  [' .', '.'],
  [' ?', '?'],
  [' !', '!'],
  [' ,', ','],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [' do not', " don't"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
] as const;

/**
 * Text of ids as Hugging Face's `decode` with its WordPiece decoder.
 * @throws RangeError for an id outside the vocabulary
 */
export function decodeTokens(
  spec: TokenizerSpec,
  ids: ArrayLike<number>,
  skipSpecialTokens: boolean,
): string {
  const skipped = new Set(
    skipSpecialTokens ? spec.specialTokens.filter((token) => token.special).map((token) => token.id) : [],
  );
  const parts: string[] = [];
  for (const id of Array.from(ids)) {
    const token = spec.vocabulary[id];
    if (token === undefined) {
      throw new RangeError(`token id is ${id}, expected a whole number below ${spec.vocabulary.length}`);
    }
    if (skipped.has(id)) continue;
    let part = token;
    if (parts.length > 0) {
      const isInside = token.startsWith(spec.continuingPrefix);
      part = isInside ? token.slice(spec.continuingPrefix.length) : ` ${token}`;
    }
    for (const [from, to] of CLEANUPS) part = part.replaceAll(from, to);
    parts.push(part);
  }
  return parts.join('');
}
