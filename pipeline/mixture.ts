import { parseDataSpecs, wholeWeights } from './data-spec.ts';
import { TacoError } from './errors.ts';
import { keyOf } from './random.ts';
import { type Dataset, environmentHub, openDataset } from './shards/dataset.ts';
import type { Split } from './shards/manifest.ts';
import type { WaitNotice } from './sources/source.ts';
import type { SpecialTokenIds } from './types.ts';

/** A dataset and its share of the rows. */
export interface MixedDataset {
  /** As the user wrote it, without the weight. */
  readonly reference: string;
  readonly dataset: Dataset;
  /** Whole, in lowest terms with those of the other datasets. */
  readonly weight: number;
}

/** One dataset or several that are trained on together, in the order in which they were given. */
export interface Mixture {
  readonly parts: readonly MixedDataset[];
  readonly maxSeqLen: number;
  readonly vocabSize: number;
  readonly specialTokenIds: SpecialTokenIds;
  /** Rows of all datasets. */
  numRows(split: Split): number;
}

/**
 * Opens the datasets of a run and checks that they go together. Without weights each has the share of its
 * training rows: an epoch of all of them ends at once.
 * @param data as `--data` takes them, see data-spec.ts
 * @param onWait hears of pauses in reading from the Hub, now and later
 * @throws TacoError as `parseDataSpecs` and `openDataset`; `mismatch` naming both values when row lengths or
 *   tokenizers differ; `bad-config` when a dataset is given twice
 */
export async function openMixture(
  data: readonly string[],
  onWait?: (notice: WaitNotice) => void,
): Promise<Mixture> {
  const specs = parseDataSpecs(data);
  const datasets: Dataset[] = [];
  for (const { reference } of specs)
    datasets.push(await openDataset(reference, { connect: () => environmentHub(onWait) }));
  const weights = wholeWeights(specs.map(({ weight }, index) => weight ?? datasets[index]!.numRows('train')));
  const parts = specs.map(({ reference }, index) => ({
    reference,
    dataset: datasets[index]!,
    weight: datasets.length === 1 ? 1 : weights[index]!,
  }));
  requireAgreement(parts);
  const { maxSeqLen, vocabSize, specialTokenIds } = datasets[0]!;
  return {
    parts,
    maxSeqLen,
    vocabSize,
    specialTokenIds,
    numRows: (split) => datasets.reduce((sum, dataset) => sum + dataset.numRows(split), 0),
  };
}

/** The parts by ascending fingerprint: whoever depends on an order takes this one, not that of the flags. */
export function byFingerprint(parts: readonly MixedDataset[]): readonly MixedDataset[] {
  return parts.toSorted((a, b) => (a.dataset.fingerprint < b.dataset.fingerprint ? -1 : 1));
}

/** Keeps the seeds of datasets apart from every other use of the run's seed. */
const ORDER_KEY = 0x3d1;

/**
 * Seed of a dataset's order of rows. Alone it is the run's own; in a mixture each dataset has another, so that
 * datasets of one size are not shuffled alike.
 */
export function orderSeedOf({ dataset }: MixedDataset, seed: number, numDatasets: number): number {
  if (numDatasets === 1) return seed;
  const words = [0, 12].map((start) => Number.parseInt(dataset.fingerprint.slice(start, start + 12), 16));
  return keyOf(seed, ORDER_KEY, ...words);
}

/** The beginning of a fingerprint: enough to tell datasets apart in a message. */
export function shortFingerprint(fingerprint: string): string {
  return fingerprint.slice(0, 12);
}

function requireAgreement(parts: readonly MixedDataset[]): void {
  const [first, ...others] = parts;
  for (const [index, other] of others.entries()) {
    const same = parts
      .slice(0, index + 1)
      .find((part) => part.dataset.fingerprint === other.dataset.fingerprint);
    if (same !== undefined) {
      throw new TacoError(
        `--data ${same.reference} and --data ${other.reference} are the same dataset (${shortFingerprint(other.dataset.fingerprint)}), expected each once; raise its weight instead`,
        { code: 'bad-config', stage: 'batches' },
      );
    }
    const differing = (what: string, a: string | number, b: string | number, advice: string): TacoError =>
      new TacoError(
        `${first!.reference} has ${what} ${a}, ${other.reference} has ${b}; datasets that are mixed must agree: prepare one of them again with the other's ${advice}`,
        { code: 'mismatch', stage: 'batches' },
      );
    const [a, b] = [first!.dataset, other.dataset];
    if (a.maxSeqLen !== b.maxSeqLen) throw differing('rows of', a.maxSeqLen, b.maxSeqLen, '--max-seq-len');
    const [tokenizerA, tokenizerB] = [a.manifest.tokenizer, b.manifest.tokenizer];
    if (tokenizerA.fingerprint !== tokenizerB.fingerprint) {
      const name = ({ reference, fingerprint }: typeof tokenizerA): string =>
        `${reference} (${shortFingerprint(fingerprint)})`;
      throw differing('tokenizer', name(tokenizerA), name(tokenizerB), '--tokenizer');
    }
  }
}
