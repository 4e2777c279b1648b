import { Random } from '../random.ts';
import type { SpecialTokenIds } from '../types.ts';

/** How tokens are chosen for masked-language modelling (MLM) and what replaces them. */
export interface MaskingRule {
  /** Each token is selected with this probability, independently of the others. */
  readonly probability: number;
  /** Replacement ids are uniform over the whole vocabulary, special tokens included. */
  readonly vocabSize: number;
  readonly specialTokenIds: SpecialTokenIds;
}

/** Selected tokens, gathered row by row. Arrays are as long as the batch; the first `count` entries count. */
export interface MaskedTokens {
  readonly positions: Int32Array<ArrayBuffer>;
  readonly labels: Int32Array<ArrayBuffer>;
  count: number;
}

/** Room for the selected tokens of `capacity` tokens. */
export function createMaskedTokens(capacity: number): MaskedTokens {
  return { positions: new Int32Array(capacity), labels: new Int32Array(capacity), count: 0 };
}

/** [vocabSize] 1 for the ids that are never selected: padding, unknown, [CLS], [SEP], [MASK]. */
export function specialTable(vocabSize: number, specialTokenIds: SpecialTokenIds): Uint8Array {
  const table = new Uint8Array(vocabSize);
  for (const id of Object.values(specialTokenIds) as number[]) table[id] = 1;
  return table;
}

/** A function that masks rows; see `createMasker`. */
export type Masker = (
  ids: Int32Array,
  start: number,
  end: number,
  masked: MaskedTokens,
  ...key: readonly number[]
) => void;

/**
 * BERT's masking (Devlin et al. 2019, §3.1) as `DataCollatorForLanguageModeling` does it: Bernoulli per token;
 * of the selected ones 80 % become [MASK], 10 % a random id, 10 % stay. Special tokens are never selected,
 * whether the packer put them there or the text spells them.
 *
 * The masker replaces ids[start, end) in place and appends the selected positions and their original ids to
 * `masked`. What it does depends on the ids and the key alone: the row's place in the run, not the batch it is in.
 */
export function createMasker(rule: MaskingRule): Masker {
  const isSpecial = specialTable(rule.vocabSize, rule.specialTokenIds);
  const { vocabSize } = rule;
  const maskId = rule.specialTokenIds.mask;
  const threshold = rule.probability * 0x1_0000_0000;

  return (ids, start, end, masked, ...key) => {
    const random = new Random(...key);
    let { count } = masked;
    for (let position = start; position < end; position += 1) {
      const id = ids[position]!;
      if (isSpecial[id] === 1) continue;
      if (random.uint32() >= threshold) continue;
      masked.positions[count] = position;
      masked.labels[count] = id;
      count += 1;
      const fate = random.below(10);
      if (fate < 8) ids[position] = maskId;
      else if (fate === 8) ids[position] = random.below(vocabSize);
    }
    masked.count = count;
  };
}
