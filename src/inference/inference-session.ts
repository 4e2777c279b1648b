import type * as tf from '@tensorflow/tfjs-core';
import { createProgram, type FeedSpec, type Program } from '../engine/index.ts';
import { encode } from '../model/bert.ts';
import type { BertConfig } from '../model/config.ts';
import { type ParameterMap, type ParameterSpec, parameterSpecs } from '../model/parameters.ts';
import { maskedLogits } from '../objectives/mlm.ts';
import { importParts } from '../train/session-state.ts';
import type { NamedArray } from '../train/session-types.ts';
import { checkRows } from '../train/step-input.ts';

/** Rows of token ids. */
export interface TokenRows {
  /** B */
  readonly batchSize: number;
  /** L */
  readonly maxSeqLen: number;
  /** [B * L] token ids. */
  readonly inputIds: Int32Array;
  /** [B * L] 1 for tokens, 0 for padding; undefined when there is no padding. */
  readonly attentionMask?: Int32Array | undefined;
}

/** Rows with positions to predict. */
export interface MaskedInput extends TokenRows {
  /** [P] flat positions `row * maxSeqLen + column`. */
  readonly positions: Int32Array;
}

/** What the encoder makes of rows: the vectors of every token. */
export interface HiddenStates {
  /** Tokens a row has here, padding of the computation included: token `column` of `row` is at `row * rowLength + column`. */
  readonly rowLength: number;
  /** [B * rowLength, H] x: embeddings after LayerNorm. */
  readonly embedded: Float32Array;
  /** [B * rowLength, H] h: output of the last layer. */
  readonly hidden: Float32Array;
}

/** Rows are filled up to a multiple of so many tokens, so that few lengths are compiled. */
const LENGTH_STEP = 32;

/** A model that predicts, in float32 and without dropout, on the backend in use. */
export class InferenceSession {
  readonly #model: BertConfig;
  readonly #specs: readonly ParameterSpec[];
  readonly #program: Program;

  /**
   * @param tensors parameters by transformers' names
   * @param program without variables; that of the backend by default
   * @throws TacoError `mismatch` when a parameter is missing or has another shape; `backend` when none was opened
   */
  constructor(
    model: BertConfig,
    tensors: ReadonlyMap<string, NamedArray>,
    program: Program = createProgram('f32'),
  ) {
    this.#model = model;
    this.#specs = parameterSpecs(model);
    this.#program = program;
    const byKey = new Map(this.#specs.map((spec) => [spec.key, spec]));
    program.declare(this.#specs.map(({ key, shape }) => ({ name: key, shape })));
    program.write([...byKey.keys()], (key) => importParts(tensors, '', byKey.get(key)!));
  }

  /**
   * Scores of every word at chosen positions.
   * @returns [P * V] logits, a row of the vocabulary's size for each position
   * @throws TacoError `mismatch` when the model cannot take the rows
   */
  predictMasked({ positions, ...rows }: MaskedInput): Float32Array<ArrayBuffer> {
    const { batchSize, maxSeqLen } = rows;
    if (positions.length === 0) return new Float32Array();
    const { rowLength, ids, mask } = this.#widen(rows);
    const predict = this.#program.compile(
      ({ feeds, variables }) => {
        const { hidden_NH } = this.#encode(variables, { batchSize, rowLength, ...feeds });
        return { logits: maskedLogits(variables, this.#model, hidden_NH, feeds.positions as tf.Tensor1D) };
      },
      {
        name: `predict-${batchSize}x${rowLength}`,
        feeds: { ...tokenFeeds(ids.length), positions: { dtype: 'int32', shape: ['positions'] } },
        updates: [],
      },
    );
    const moved = positions.map((at) => Math.floor(at / maxSeqLen) * rowLength + (at % maxSeqLen));
    return new Float32Array(predict({ ids, mask, positions: moved }).logits);
  }

  /**
   * Vectors of every token.
   * @throws TacoError `mismatch` when the model cannot take the rows
   */
  hiddenStates(rows: TokenRows): HiddenStates {
    const { batchSize } = rows;
    const { rowLength, ids, mask } = this.#widen(rows);
    const run = this.#program.compile(
      ({ feeds, variables }) => {
        const { embedded_NH, hidden_NH } = this.#encode(variables, { batchSize, rowLength, ...feeds });
        return { embedded: embedded_NH, hidden: hidden_NH };
      },
      { name: `hidden-${batchSize}x${rowLength}`, feeds: tokenFeeds(ids.length), updates: [] },
    );
    const { embedded, hidden } = run({ ids, mask });
    return { rowLength, embedded: embedded as Float32Array, hidden: hidden as Float32Array };
  }

  /** Frees every tensor of the session, which is of no use afterwards. */
  dispose(): void {
    this.#program.dispose();
  }

  #encode(
    parameters: ParameterMap,
    input: {
      readonly batchSize: number;
      readonly rowLength: number;
      readonly ids: tf.Tensor;
      readonly mask: tf.Tensor;
    },
  ) {
    return encode(parameters, this.#model, {
      batchSize: input.batchSize,
      maxSeqLen: input.rowLength,
      ids_N: input.ids as tf.Tensor1D,
      attentionMask_N: input.mask as tf.Tensor1D,
    });
  }

  /** The rows at a length that is compiled, padding behind them. */
  #widen({ maxSeqLen, inputIds, attentionMask }: TokenRows) {
    checkRows(inputIds, maxSeqLen, this.#model);
    const rowLength = Math.min(Math.ceil(maxSeqLen / LENGTH_STEP) * LENGTH_STEP, this.#model.maxPositions);
    const mask = attentionMask ?? new Int32Array(inputIds.length).fill(1);
    return {
      rowLength,
      ids: widened(inputIds, maxSeqLen, rowLength),
      mask: widened(mask, maxSeqLen, rowLength),
    };
  }
}

function tokenFeeds(numTokens: number): { readonly ids: FeedSpec; readonly mask: FeedSpec } {
  const tokens: FeedSpec = { dtype: 'int32', shape: [numTokens] };
  return { ids: tokens, mask: tokens };
}

/** Rows of one length with zeros behind them. */
function widened(values: Int32Array, from: number, to: number): Int32Array {
  if (from === to) return values;
  const wide = new Int32Array((values.length / from) * to);
  for (let row = 0; row * from < values.length; row += 1) {
    wide.set(values.subarray(row * from, (row + 1) * from), row * to);
  }
  return wide;
}
