import { TacoError } from '../../pipeline/index.ts';
import type { MaskedInput } from './inference-session.ts';

/** What fills masks. */
export interface MaskFiller {
  readonly session: {
    /** [P, V] logits at the P masked positions, row-major. */
    predictMasked(input: MaskedInput): Float32Array;
  };
  readonly tokenizer: {
    encode(text: string): Int32Array;
    readonly specialTokenIds: { readonly cls: number; readonly sep: number; readonly mask: number };
    /** `vocabulary`: the token of each id. */
    readonly spec: { readonly vocabulary: readonly string[] };
  };
  /** `maxPositions`: longest row that the model takes, in tokens. */
  readonly config: { readonly maxPositions: number };
}

export interface Candidate {
  readonly token: string;
  /** In [0, 1], over the whole vocabulary. */
  readonly probability: number;
}

/**
 * What the model puts in the place of each [MASK] of a sentence.
 * @returns for each mask, in order, its `count` most probable tokens, best first
 * @throws TacoError `bad-config` when the sentence has no [MASK] or is too long
 */
export function fillMask(
  { session, tokenizer, config: { maxPositions } }: MaskFiller,
  sentence: string,
  count = 5,
): readonly (readonly Candidate[])[] {
  const { cls, mask, sep } = tokenizer.specialTokenIds;
  const { vocabulary } = tokenizer.spec;
  const inputIds = Int32Array.of(cls, ...tokenizer.encode(sentence), sep);
  if (inputIds.length > maxPositions) {
    throw new TacoError(
      `the sentence has ${inputIds.length} tokens, the model takes at most ${maxPositions}; use a shorter one`,
      { code: 'bad-config', stage: 'fill-mask' },
    );
  }
  const positions = Int32Array.from([...inputIds.keys()].filter((index) => inputIds[index] === mask));
  if (positions.length === 0) {
    throw new TacoError(`"${sentence}" has no ${vocabulary[mask]!}, expected at least one to fill`, {
      code: 'bad-config',
      stage: 'fill-mask',
    });
  }
  const logits = session.predictMasked({ batchSize: 1, maxSeqLen: inputIds.length, inputIds, positions });
  const vocabSize = logits.length / positions.length;
  return Array.from(positions, (_, index) =>
    mostProbable(logits.subarray(index * vocabSize, (index + 1) * vocabSize), count).map(
      ({ id, probability }) => ({ token: vocabulary[id] ?? `#${id}`, probability }),
    ),
  );
}

/** The first `count` of a softmax over logits, ties to the lower id. */
function mostProbable(
  logits: Float32Array,
  count: number,
): readonly { readonly id: number; readonly probability: number }[] {
  const greatest = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - greatest), 0);
  return [...logits.keys()]
    .sort((a, b) => logits[b]! - logits[a]!)
    .slice(0, count)
    .map((id) => ({ id, probability: Math.exp(logits[id]! - greatest) / total }));
}
