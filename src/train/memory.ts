import { totalmem } from 'node:os';
import { TacoError } from '../../pipeline/index.ts';
import type { Backend } from '../engine/index.ts';
import type { BertConfig } from '../model/config.ts';
import { countParameters } from '../model/parameters.ts';

/** What decides how much memory one micro-batch takes. */
export interface StepSize {
  readonly model: BertConfig;
  /** B */
  readonly batchSize: number;
  /** L */
  readonly maxSeqLen: number;
  /** Share of the positions that get logits over the vocabulary. */
  readonly mlmProbability: number;
}

interface MemoryCosts {
  /** The process without a model. */
  readonly processBytes: number;
  /** Copies of the weights at the worst moment: moments, gradients, passes of the update, what an allocator keeps. */
  readonly weightCopies: number;
  /** Values a layer keeps for the backward pass, for each token and unit of the hidden size. */
  readonly valuesPerUnit: number;
  /** Values a layer keeps for each score of attention, of which a token has as many as heads times the row's length. */
  readonly valuesPerScore: number;
  /** Copies of the logits. */
  readonly logitCopies: number;
}

/** Fitted to peaks of tiny and small at 1,024 to 16,384 tokens, of 64 to 512 a row; on WebAssembly of 64 and 128. */
const costs: Readonly<Record<Backend['name'], MemoryCosts>> = {
  tensorflow: {
    processBytes: 6.4e8,
    weightCopies: 8.75,
    valuesPerUnit: 23,
    valuesPerScore: 2,
    logitCopies: 2.55,
  },
  wasm: { processBytes: 2.7e8, weightCopies: 9, valuesPerUnit: 29, valuesPerScore: 1, logitCopies: 2.5 },
};

const float32Bytes = 4;
/** 32-bit addresses. */
const wasmHeapBytes = 2 ** 32;

/** Peak memory of a training step, within some 10 % of what was measured. */
export function estimatePeakBytes(size: StepSize, backend: Backend['name']): number {
  const { model, batchSize, maxSeqLen, mlmProbability } = size;
  const { processBytes, weightCopies, valuesPerUnit, valuesPerScore, logitCopies } = costs[backend];
  const { numLayers, hiddenSize, numHeads, vocabSize } = model;
  const valuesPerToken =
    numLayers * (hiddenSize * valuesPerUnit + numHeads * maxSeqLen * valuesPerScore) +
    mlmProbability * vocabSize * logitCopies;
  const values = countParameters(model) * weightCopies + batchSize * maxSeqLen * valuesPerToken;
  return processBytes + values * float32Bytes;
}

/** Memory this process may use: the machine's, or its container's. */
export function availableBytes(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

/**
 * Refuses a micro-batch that would end with the process killed for its memory, and names one that fits. A GPU's
 * memory is not known here; there TensorFlow says itself what did not fit.
 * @throws TacoError `backend`
 */
export function requireMemory(
  size: StepSize & { readonly gradAccum: number },
  { name, device }: Pick<Backend, 'name' | 'device'>,
  machineBytes = availableBytes(),
): void {
  if (device === 'GPU') return;
  const limit = name === 'wasm' ? Math.min(machineBytes, wasmHeapBytes) : machineBytes;
  const needed = estimatePeakBytes(size, name);
  if (needed <= limit) return;

  let { batchSize, gradAccum } = size;
  while (batchSize > 2 && estimatePeakBytes({ ...size, batchSize }, name) > 0.9 * limit) {
    batchSize = Math.ceil(batchSize / 2);
    gradAccum *= 2;
  }
  const fits = estimatePeakBytes({ ...size, batchSize }, name) <= limit;
  const advice = fits
    ? `--batch-size ${batchSize} --grad-accum ${gradAccum} updates on at least as many rows and fits`
    : 'choose a smaller --model, or shorter rows';
  const owner = name === 'wasm' && limit === wasmHeapBytes ? 'WebAssembly can address' : 'there are';
  throw new TacoError(
    `a micro-batch of ${size.batchSize} × ${size.maxSeqLen} tokens takes about ${gigabytes(needed)} on the ${name} backend, ${owner} ${gigabytes(limit)}: ${advice}`,
    { code: 'backend', stage: 'train' },
  );
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
