import { TacoError } from './errors.ts';

/** What a `--data` says, parsed. */
export interface DataSpec {
  /** What `openDataset` takes. */
  readonly reference: string;
  /** Share of the rows in a mixture, relative to the other weights. */
  readonly weight: number | undefined;
}

const MAX_WEIGHT = 1_000_000;
const WEIGHT_DECIMALS = 6;

/**
 * Parses all `--data` of a run: a dataset, with a number and a colon in front as its weight in a mixture
 * (`3:cache/datasets/wiki`). Either every dataset has a weight or none.
 * @throws TacoError `bad-config` when there is none, one is given twice, a weight is not usable, or only some
 *   have weights
 */
export function parseDataSpecs(texts: readonly string[]): readonly DataSpec[] {
  if (texts.length === 0) {
    throw badConfig('no dataset given; expected at least one --data, the folder of a prepared dataset');
  }
  const specs = texts.map(parseDataSpec);
  const bare = specs.find((spec) => spec.weight === undefined);
  if (bare !== undefined && specs.some((spec) => spec.weight !== undefined)) {
    throw badConfig(
      `--data ${bare.reference} has no weight but others have; give all of them one, for instance 1:${bare.reference}, or none`,
    );
  }
  return specs;
}

function parseDataSpec(text: string): DataSpec {
  const weighted = /^(\d+(?:\.(\d+))?):(.*)$/s.exec(text.trim());
  const reference = (weighted === null ? text : weighted[3]!).trim();
  if (reference === '')
    throw badConfig(`--data ${text} names no dataset; expected one, as in 3:cache/datasets/wiki`);
  if (weighted === null) return { reference, weight: undefined };
  const weight = Number(weighted[1]);
  if (!(weight > 0 && weight <= MAX_WEIGHT) || (weighted[2]?.length ?? 0) > WEIGHT_DECIMALS) {
    throw badConfig(
      `--data ${text} has weight ${weighted[1]!}, expected a number above 0 and at most ${MAX_WEIGHT}, with at most ${WEIGHT_DECIMALS} decimals`,
    );
  }
  return { reference, weight };
}

/** The same ratios in whole numbers, in lowest terms: what the order of a mixture is decided with, exactly. */
export function wholeWeights(weights: readonly number[]): readonly number[] {
  const scaled = weights.map((weight) => Math.round(weight * 10 ** WEIGHT_DECIMALS));
  const divisor = scaled.reduce(greatestCommonDivisor, 0);
  return divisor === 0 ? scaled : scaled.map((weight) => weight / divisor);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

function badConfig(message: string): TacoError {
  return new TacoError(message, { code: 'bad-config', stage: 'batches' });
}
