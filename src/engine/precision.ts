import { execFileSync } from 'node:child_process';
import { TacoError } from '../../pipeline/index.ts';
import type { Backend } from './backend.ts';
import { processorFeatures } from './processor.ts';

/** In which type matrix products are computed; variables, sums, norms, softmax and losses are float32 in all of them. */
export const precisions = ['f32', 'bf16', 'fp16'] as const;
export type Precision = (typeof precisions)[number];

/** What a user may ask for; `auto` is the fastest that trains as well as f32. */
export const precisionChoices = ['auto', ...precisions] as const;
export type PrecisionChoice = (typeof precisionChoices)[number];

/** What decides `auto`; asked of the machine unless a test knows better. */
export interface PrecisionProbe {
  /** Whether the processor multiplies bf16 faster than float32. */
  readonly processorHasBf16: () => boolean;
  /** Compute capability of the first NVIDIA GPU, such as 8.0; undefined where it cannot be asked for. */
  readonly computeCapability: () => number | undefined;
}

const machine: PrecisionProbe = {
  processorHasBf16: () => processorFeatures().some((feature) => feature.endsWith('bf16')),
  computeCapability,
};

/**
 * The precision of a run. `auto` takes bf16 where the processor or the GPU (compute capability 8.0) has it, fp16 on GPUs
 * with tensor cores for that alone (7.0), else f32.
 * @throws TacoError `bad-config` when the backend does not compute in what is asked for
 */
export function choosePrecision(
  choice: PrecisionChoice,
  { name, device }: Pick<Backend, 'name' | 'device'>,
  probe: PrecisionProbe = machine,
): Precision {
  if (name === 'wasm') {
    if (choice === 'auto' || choice === 'f32') return 'f32';
    throw new TacoError(
      `--precision ${choice} needs --backend tensorflow, WebAssembly computes in f32: use --precision f32, or npm run setup:tensorflow`,
      { code: 'bad-config', stage: 'engine' },
    );
  }
  if (choice !== 'auto') return choice;
  if (device === 'CPU') return probe.processorHasBf16() ? 'bf16' : 'f32';
  const capability = probe.computeCapability() ?? 0;
  if (capability >= 8) return 'bf16';
  return capability >= 7 ? 'fp16' : 'f32';
}

function computeCapability(): number | undefined {
  try {
    const query = ['--query-gpu=compute_cap', '--format=csv,noheader'];
    const text = execFileSync('nvidia-smi', query, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    const capability = Number.parseFloat(text);
    return Number.isNaN(capability) ? undefined : capability;
  } catch {
    return undefined;
  }
}
