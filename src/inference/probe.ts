import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type Batch,
  type ContrastivePairs,
  evaluationBatches,
  type Mixture,
  openMixture,
  TacoError,
  type TokenizerSpec,
} from '../../pipeline/index.ts';
import type { HiddenStates, TokenRows } from './inference-session.ts';

/** What is probed. */
export interface Probed {
  /** How messages call the model. */
  readonly reference: string;
  readonly session: { hiddenStates(rows: TokenRows): HiddenStates };
  readonly tokenizer: { readonly spec: Pick<TokenizerSpec, 'sha256' | 'vocabulary'> };
  readonly config: { readonly hiddenSize: number; readonly maxPositions: number };
}

export interface ProbeOptions {
  /** Datasets as `--data` takes them. */
  readonly data: readonly string[];
  /** Rows of the validation split at most, at least 2. */
  readonly maxRows: number;
  /** Draws the pairs. */
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly onProgress?: (numRows: number, totalRows: number) => void;
}

/** Shape of a space of vectors, each scaled to length 1. */
export interface Geometry {
  /** Mean of ‖f(t1) − f(t2)‖² over pairs of near tokens; 0 to 4. */
  readonly alignment: number;
  /** ln of the mean of exp(−2 ‖f(s) − f(t)‖²) over random pairs; −8 to 0. */
  readonly uniformity: number;
  /** Mean cosine of random pairs; −1 to 1. */
  readonly cosine: number;
}

export interface ProbeResult {
  /** h: output of the last layer. */
  readonly hidden: Geometry;
  /** g = h − x: what the encoder adds to a token's embedding, its global semantics in TACO's words. */
  readonly global: Geometry;
  readonly numRows: number;
  /** Pairs of near tokens. */
  readonly numNear: number;
  /** Random pairs. */
  readonly numRandom: number;
}

/** W: near tokens have 0 < |t1 − t2| < W. The same for every model, so that their figures compare. */
export const PROBE_WINDOW = 5;
/** Rows of a batch, within which random pairs are drawn. */
const BATCH_ROWS = 16;
/** Random pairs for each token. */
const RANDOM_PAIRS = 8;

/**
 * Alignment and uniformity (Wang and Isola 2020, arXiv:2005.10242) and the mean cosine of a model's token vectors on
 * held-out rows, without masks and dropout. Near pairs are drawn as TACO draws positives: for each token another one
 * of its row in the window. Random pairs are drawn as its negatives: tokens of other rows of a batch, uniform. Special
 * tokens and padding take no part.
 * @throws TacoError `mismatch` when model and data have different tokenizers; `bad-config` when there are fewer than two
 *   rows; as `openMixture`
 */
export async function probe(model: Probed, options: ProbeOptions): Promise<ProbeResult> {
  const { data, maxRows, seed, signal, onProgress } = options;
  const mixture = await openMixture(data);
  await requireFit(model, mixture);
  const sums = { hidden: new GeometrySums(), global: new GeometrySums() };
  let numRows = 0;
  const totalRows = Math.min(maxRows, mixture.numRows('validation'));
  const taco = { numNegatives: RANDOM_PAIRS, positiveWindow: PROBE_WINDOW, excludeSpecial: true };
  for await (const batch of evaluationBatches({ mixture, batchSize: BATCH_ROWS, seed, maxRows, taco })) {
    // The model computes synchronously: without a turn of the event loop no signal would ever arrive.
    await nextTurn();
    signal.throwIfAborted();
    const { hidden, embedded, rowLength } = model.session.hiddenStates(unmasked(batch));
    const pairs = movedPairs(batch, rowLength);
    const global = hidden.map((value, at) => value - embedded[at]!);
    sums.hidden.add(unitRows(hidden, model.config.hiddenSize), pairs, model.config.hiddenSize);
    sums.global.add(unitRows(global, model.config.hiddenSize), pairs, model.config.hiddenSize);
    numRows += batch.batchSize;
    onProgress?.(numRows, totalRows);
  }
  const { numNear, numRandom } = sums.hidden;
  if (numNear === 0) {
    throw new TacoError(
      `${data.join(' ')} has ${numRows} validation rows, expected at least 2 with text; prepare more, or with a larger --validation share`,
      { code: 'bad-config', stage: 'probe' },
    );
  }
  return { hidden: sums.hidden.result(), global: sums.global.result(), numRows, numNear, numRandom };
}

async function requireFit(
  { reference, tokenizer, config }: Probed,
  { parts, maxSeqLen }: Mixture,
): Promise<void> {
  const { dataset, reference: name } = parts[0]!;
  const { sha256, vocabulary } = await dataset.readTokenizer();
  if (sha256 !== tokenizer.spec.sha256) {
    throw new TacoError(
      `${name} was made with another vocabulary (${vocabulary.length} words) than that of ${reference} (${tokenizer.spec.vocabulary.length} words); prepare the text with --tokenizer ${reference.replace(/^hub:/, '')}`,
      { code: 'mismatch', stage: 'probe' },
    );
  }
  if (maxSeqLen > config.maxPositions) {
    throw new TacoError(
      `the rows of ${name} have ${maxSeqLen} tokens, ${reference} takes at most ${config.maxPositions}; prepare the text with --max-seq-len ${config.maxPositions}`,
      { code: 'mismatch', stage: 'probe' },
    );
  }
}

/** The rows as they were before masking. */
function unmasked({ inputIds, maskedPositions, maskedLabels, ...rows }: Batch): TokenRows {
  const ids = inputIds.slice();
  for (const [index, position] of maskedPositions.entries()) ids[position] = maskedLabels[index]!;
  return { ...rows, inputIds: ids };
}

/** Places of the pairs where rows are longer. */
function movedPairs({ pairs, maxSeqLen }: Batch, rowLength: number): ContrastivePairs {
  const none = new Int32Array();
  const { anchors, positives, negatives } = pairs ?? { anchors: none, positives: none, negatives: none };
  const moved = (places: Int32Array<ArrayBuffer>) =>
    places.map((at) => Math.floor(at / maxSeqLen) * rowLength + (at % maxSeqLen));
  return { anchors: moved(anchors), positives: moved(positives), negatives: moved(negatives) };
}

/** Rows scaled to length 1. @param rows [n * size] */
function unitRows(rows: Float32Array, size: number): Float32Array {
  const unit = new Float32Array(rows.length);
  for (let start = 0; start < rows.length; start += size) {
    let square = 0;
    for (let at = start; at < start + size; at += 1) square += rows[at]! ** 2;
    const length = Math.max(Math.sqrt(square), 1e-12);
    for (let at = start; at < start + size; at += 1) unit[at] = rows[at]! / length;
  }
  return unit;
}

/** Sums over pairs of unit vectors. */
export class GeometrySums {
  numNear = 0;
  numRandom = 0;
  #nearDistance = 0;
  #potential = 0;
  #cosine = 0;

  /** @param unit [n * size] vectors of length 1; near pairs are anchors and positives, random ones anchors and negatives */
  add(unit: Float32Array, { anchors, positives, negatives }: ContrastivePairs, size: number): void {
    const perAnchor = anchors.length === 0 ? 0 : negatives.length / anchors.length;
    for (const [index, anchor] of anchors.entries()) {
      this.#nearDistance += 2 - 2 * dot(unit, anchor * size, positives[index]! * size, size);
      for (let i = index * perAnchor; i < (index + 1) * perAnchor; i += 1) {
        const cosine = dot(unit, anchor * size, negatives[i]! * size, size);
        this.#cosine += cosine;
        this.#potential += Math.exp(-2 * (2 - 2 * cosine));
      }
    }
    this.numNear += anchors.length;
    this.numRandom += negatives.length;
  }

  result(): Geometry {
    return {
      alignment: this.#nearDistance / this.numNear,
      uniformity: Math.log(this.#potential / this.numRandom),
      cosine: this.#cosine / this.numRandom,
    };
  }
}

function dot(values: Float32Array, a: number, b: number, size: number): number {
  let sum = 0;
  for (let i = 0; i < size; i += 1) sum += values[a + i]! * values[b + i]!;
  return sum;
}
